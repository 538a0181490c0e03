//! Decision → charge: in the node's shared data at once, or in the engine that a cluster shares.

use super::report::{Report, early_context};
use super::verdict::{deny, pass};
use super::{Context, Effect, RequestContext, Route, State, Step};
use crate::catalog::Index;
use crate::config::{Mode, OnEngineError, OnStoreError, Quotas};
use crate::denial::Denial;
use crate::http::Reply;
use crate::ownership::Callee;
use crate::quota::engine::{Answered, Ask, Begun, Bill, Claims, EngineError, EngineState};
use crate::quota::{self, Charge, Subjects, Tiers};
use crate::tags::Value;
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
    pub(super) fn begin(self, cx: &RequestContext<'_>) -> Step {
        let route = self.route.clone();
        let Some(quotas) = &route.config.quotas else {
            return pass(Some(&self.callee), self.report, Vec::new(), cx);
        };
        match route.engine.clone() {
            // In shadow mode nobody waits for the engine.
            _ if route.is_shadow() => self.rehearse(quotas, cx),
            None => {
                let charge = self.charge(quotas, &route.config.zones.quota, cx);
                self.judge(quotas, charge, cx)
            }
            Some(engine) => self.share(quotas, engine, cx),
        }
    }

    /// Charges the node's records under `place`: the zone, or a part of it.
    fn charge(&self, quotas: &Quotas, place: &str, cx: &Context<'_>) -> Charge {
        let zone = &self.route.config.zones.quota;
        let secret = || cx.worker.key_secrets.get(cx.store, zone, cx.now);
        quota::charge(cx.store, quotas, place, &self.subjects(), self.report.method(), cx.now, secret)
    }

    /// Shadow mode: charges records of its own, which no route that enforces looks at, to tell what would have had no room.
    fn rehearse(mut self, quotas: &Quotas, cx: &RequestContext<'_>) -> Step {
        let place = format!("{}/shadow", self.route.config.zones.quota);
        match self.charge(quotas, &place, cx) {
            Charge::Charged(states) => self.report.charged(quotas, states, cx),
            Charge::Exhausted(states) => {
                self.report.exhausted(states.clone(), cx);
                let denial = Denial::QuotaExhausted { states, x_ratelimit: quotas.x_ratelimit_headers };
                self.report.note_shadow(denial);
            }
            Charge::StoreFailed(fault) => cx.worker.telemetry.store_fault(cx.metrics, fault),
        }
        pass(Some(&self.callee), self.report, Vec::new(), cx)
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

    fn share(self, quotas: &Quotas, engine: Rc<EngineState>, cx: &RequestContext<'_>) -> Step {
        let zone = &self.route.config.zones.quota;
        let secret = || cx.worker.key_secrets.get(cx.store, zone, cx.now);
        let bill = match Bill::new(quotas, zone, &self.subjects(), self.report.method(), secret) {
            Ok(bill) => bill,
            Err(fault) => return self.judge(quotas, Charge::StoreFailed(fault), cx),
        };
        match engine.begin(&bill, cx.store, cx.now) {
            Begun::Charged(charge) => self.judge(quotas, charge, cx),
            Begun::Ask(ask) => AwaitingQuota { charging: self, engine, bill, ask }.ask(cx),
            Begun::Unasked => self.alone(quotas, &engine, &bill, (EngineError::Open, Claims::default()), cx),
        }
    }

    /// The engine did not answer: what happens then is the configuration's to say.
    fn alone(
        mut self,
        quotas: &Quotas,
        engine: &EngineState,
        bill: &Bill,
        (error, claims): (EngineError, Claims),
        cx: &RequestContext<'_>,
    ) -> Step {
        cx.worker.telemetry.engine_call(cx.metrics, error.name());
        self.report.note_engine(engine.engine().on_error.name());
        let withdraw = || engine.withdraw(bill, &claims, cx.store, cx.now);
        match engine.engine().on_error {
            OnEngineError::Local => {
                let charge = engine.charge_alone(bill, &claims, cx.store, cx.now);
                self.judge(quotas, charge, cx)
            }
            OnEngineError::Deny => {
                withdraw();
                deny(self.report, Denial::QuotaEngine(error), cx)
            }
            OnEngineError::Allow => {
                withdraw();
                pass(Some(&self.callee), self.report, Vec::new(), cx)
            }
        }
    }

    /// Lets the request pass or refuses it, by what charging it came to.
    fn judge(mut self, quotas: &Quotas, charge: Charge, cx: &RequestContext<'_>) -> Step {
        let fields = match charge {
            Charge::Charged(states) => {
                let fields = quota::fields::headers(&states, quotas.x_ratelimit_headers);
                self.report.charged(quotas, states, cx);
                fields
            }
            Charge::Exhausted(states) => {
                self.report.exhausted(states.clone(), cx);
                let denial = Denial::QuotaExhausted { states, x_ratelimit: quotas.x_ratelimit_headers };
                match quotas.mode {
                    Mode::Enforce => return deny(self.report, denial, cx),
                    Mode::Shadow => self.report.note_shadow(denial),
                }
                Vec::new()
            }
            Charge::StoreFailed(fault) => {
                cx.worker.telemetry.store_fault(cx.metrics, fault);
                match quotas.on_store_error {
                    OnStoreError::Deny => return deny(self.report, Denial::QuotaStore(fault), cx),
                    OnStoreError::Allow => Vec::new(),
                }
            }
        };
        pass(Some(&self.callee), self.report, fields, cx)
    }
}

impl AwaitingQuota {
    fn ask(self, cx: &RequestContext<'_>) -> Step {
        let call = self.engine.asked(&self.ask, cx.now);
        (State::AwaitingQuota(Box::new(self)), Effect::Dispatch(call))
    }

    pub(super) fn context(&self) -> Vec<(&'static str, Value)> {
        early_context(&self.charging.route, Some(&self.charging.callee))
    }

    pub(super) fn answered(self, cx: &RequestContext<'_>, reply: Option<&Reply>) -> Step {
        let Self { charging, engine, bill, ask } = self;
        let route = charging.route.clone();
        let Some(quotas) = &route.config.quotas else {
            return pass(Some(&charging.callee), charging.report, Vec::new(), cx);
        };
        match engine.answered(&bill, ask, cx.store, cx.now, reply) {
            Answered::Ask(ask) => Self { charging, engine, bill, ask }.ask(cx),
            Answered::Charged(charge) => {
                cx.worker.telemetry.engine_call(cx.metrics, "answered");
                charging.judge(quotas, charge, cx)
            }
            Answered::Failed(error, claims) => {
                log::warn!("quota engine {}: {error}", engine.engine().endpoint.upstream);
                charging.alone(quotas, &engine, &bill, (error, claims), cx)
            }
        }
    }

    /// The client is gone.
    pub(super) fn abandoned(&self, cx: &Context<'_>) {
        self.engine.abandon(&self.bill, &self.ask, cx.store, cx.now);
    }
}
