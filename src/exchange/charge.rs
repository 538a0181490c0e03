//! Decision → charge: in the node's shared data at once, or in the engine that a cluster shares.

use super::admit::pass;
use super::report::Report;
use super::{Around, Effect, Exchange, Route, State, deny};
use crate::catalog::Index;
use crate::config::{EngineFault, Mode, Quotas, StoreFault};
use crate::denial::Denial;
use crate::host::RequestHeaders;
use crate::http::Reply;
use crate::ownership::Callee;
use crate::quota::engine::{Answered, Ask, Begun, Bill, Claims, EngineError, EngineState};
use crate::quota::{self, Charge, Subjects, Tiers};
use std::rc::Rc;

/// A request that the rules let pass.
pub(super) struct Charging {
    pub route: Rc<Route>,
    pub callee: Rc<Callee>,
    /// The catalog, where the route has one that may serve.
    pub catalog: Option<Rc<Index>>,
    pub report: Report,
}

/// A request that waits for the engine.
pub(super) struct AwaitingQuota {
    charging: Charging,
    engine: Rc<EngineState>,
    bill: Bill,
    ask: Ask,
}

impl Charging {
    /// Charges the request, or asks the engine to.
    pub(super) fn begin(self, around: &Around<'_>, headers: &dyn RequestHeaders) -> (Exchange, Effect) {
        let route = self.route.clone();
        let Some(quotas) = &route.config.quotas else {
            return pass(&self.callee, self.report, Vec::new(), around, headers);
        };
        match route.engine.clone() {
            None => {
                let charge = self.charge(quotas, around);
                self.judge(quotas, charge, around, headers)
            }
            Some(engine) => self.share(quotas, engine, around, headers),
        }
    }

    fn charge(&self, quotas: &Quotas, around: &Around<'_>) -> Charge {
        let zone = &self.route.config.zones.quota;
        let secret = || around.worker.key_secrets.get(around.store, zone, around.now);
        quota::charge(around.store, quotas, zone, &self.subjects(), self.report.method(), around.now, secret)
    }

    fn subjects(&self) -> Subjects<'_> {
        let entity = &self.callee.entity;
        let group = self.report.granted_by();
        let tiers = Tiers {
            group: group.zip(self.catalog.as_deref()).and_then(|(group, catalog)| catalog.group_tier(group)),
            entity: self.callee.terms.quota_tier.as_deref(),
        };
        Subjects { entity, group, principal: self.report.principal(), tiers }
    }

    fn share(
        self,
        quotas: &Quotas,
        engine: Rc<EngineState>,
        around: &Around<'_>,
        headers: &dyn RequestHeaders,
    ) -> (Exchange, Effect) {
        let zone = &self.route.config.zones.quota;
        let secret = || around.worker.key_secrets.get(around.store, zone, around.now);
        let bill = match Bill::new(quotas, zone, &self.subjects(), self.report.method(), secret) {
            Ok(bill) => bill,
            Err(fault) => return self.judge(quotas, Charge::StoreFailed(fault), around, headers),
        };
        match engine.begin(&bill, around.store, around.now) {
            Begun::Charged(charge) => self.judge(quotas, charge, around, headers),
            Begun::Ask(ask) => AwaitingQuota { charging: self, engine, bill, ask }.ask(around),
            Begun::Unasked => {
                self.alone(quotas, &engine, &bill, (EngineError::Open, Claims::default()), around, headers)
            }
        }
    }

    /// The engine did not answer: what happens then is the configuration's to say.
    fn alone(
        mut self,
        quotas: &Quotas,
        engine: &EngineState,
        bill: &Bill,
        (error, claims): (EngineError, Claims),
        around: &Around<'_>,
        headers: &dyn RequestHeaders,
    ) -> (Exchange, Effect) {
        around.worker.telemetry.engine_call(around.metrics, error.name());
        self.report.note_engine(engine.engine().on_error.name());
        let withdraw = || engine.withdraw(bill, &claims, around.store, around.now);
        match engine.engine().on_error {
            EngineFault::Local => {
                let charge = engine.charge_alone(bill, &claims, around.store, around.now);
                self.judge(quotas, charge, around, headers)
            }
            EngineFault::Deny => {
                withdraw();
                deny(self.report, Denial::QuotaEngine(error), around, headers)
            }
            EngineFault::Allow => {
                withdraw();
                pass(&self.callee, self.report, Vec::new(), around, headers)
            }
        }
    }

    /// Lets the request pass or refuses it, by what charging it came to.
    fn judge(
        mut self,
        quotas: &Quotas,
        charge: Charge,
        around: &Around<'_>,
        headers: &dyn RequestHeaders,
    ) -> (Exchange, Effect) {
        let fields = match charge {
            Charge::Charged(states) => {
                let fields = quota::fields::headers(&states, quotas.x_ratelimit_headers);
                self.report.charged(quotas, states, around);
                fields
            }
            Charge::Exhausted(states) => {
                self.report.exhausted(states.clone(), around);
                let denial = Denial::QuotaExhausted { states, x_ratelimit: quotas.x_ratelimit_headers };
                match quotas.mode {
                    Mode::Enforce => return deny(self.report, denial, around, headers),
                    Mode::Shadow => self.report.note_shadow(denial),
                }
                Vec::new()
            }
            Charge::StoreFailed(fault) => {
                around.worker.telemetry.store_fault(around.metrics, fault);
                match quotas.on_store_error {
                    StoreFault::Deny => return deny(self.report, Denial::QuotaStore(fault), around, headers),
                    StoreFault::Allow => Vec::new(),
                }
            }
        };
        pass(&self.callee, self.report, fields, around, headers)
    }
}

impl AwaitingQuota {
    fn ask(self, around: &Around<'_>) -> (Exchange, Effect) {
        let call = self.engine.asked(&self.ask, around.now);
        (Exchange(State::AwaitingQuota(Box::new(self))), Effect::Dispatch(call))
    }

    pub(super) fn answered(
        self,
        around: &Around<'_>,
        headers: &dyn RequestHeaders,
        reply: Option<&Reply>,
    ) -> (Exchange, Effect) {
        let Self { charging, engine, bill, ask } = self;
        let route = charging.route.clone();
        let Some(quotas) = &route.config.quotas else {
            return pass(&charging.callee, charging.report, Vec::new(), around, headers);
        };
        match engine.answered(&bill, ask, around.store, around.now, reply) {
            Answered::Ask(ask) => Self { charging, engine, bill, ask }.ask(around),
            Answered::Charged(charge) => {
                around.worker.telemetry.engine_call(around.metrics, "answered");
                charging.judge(quotas, charge, around, headers)
            }
            Answered::Failed(error, claims) => {
                log::warn!("quota engine {}: {error}", engine.engine().endpoint.upstream);
                charging.alone(quotas, &engine, &bill, (error, claims), around, headers)
            }
        }
    }

    /// The client is gone.
    pub(super) fn abandoned(&self, around: &Around<'_>) {
        self.engine.abandon(&self.bill, &self.ask, around.store, around.now);
    }
}
