//! Caller → decision → charge → tags.

use super::report::Report;
use super::request::Request;
use super::{Admitted, Around, Effect, Exchange, Forward, Route, State, deny};
use crate::config::{Config, Mode, Quotas, StoreFault};
use crate::denial::Denial;
use crate::host::RequestHeaders;
use crate::policy::{self, Decision, Outcome, RequestFacts};
use crate::quota::{self, Charge, Subjects};
use crate::tags;
use crate::worker::Known;
use std::rc::Rc;

/// A CORS preflight passes untouched but for headers that only this filter may set.
pub(super) fn preflight(
    route: &Rc<Route>,
    request: Request,
    around: &Around<'_>,
    headers: &dyn RequestHeaders,
) -> (Exchange, Effect) {
    let (report, audit) = Report::new(route, request).passed_preflight(around);
    let forward = Forward {
        remove: tags::strip_list(&route.config.tags, headers.names().as_deref()),
        audit,
        ..Default::default()
    };
    (Exchange(State::Admitted(Admitted { report, response_headers: Vec::new() })), Effect::Forward(forward))
}

pub(super) fn admit(
    route: &Rc<Route>,
    request: Request,
    known: Option<Rc<Known>>,
    around: &Around<'_>,
    headers: &dyn RequestHeaders,
) -> (Exchange, Effect) {
    let config = &route.config;
    let principal = known.as_ref().map(|known| &known.principal);
    let facts = RequestFacts { method: &request.method, target: &request.target };
    let decision = policy::decide(config, &facts, principal);
    let mut report = Report::new(route, request).by(known.clone()).decided(&decision);

    if let Outcome::Denied(denial) = decision.outcome {
        match config.policy.mode {
            Mode::Enforce => return deny(report, Denial::Policy(denial), around),
            Mode::Shadow => report.note_shadow(Denial::Policy(denial)),
        }
    }
    let mut response_headers = Vec::new();
    if let Some(quotas) = &config.quotas {
        let charge = charge(config, quotas, &report, around);
        match judge(quotas, charge, &mut report, around) {
            Ok(fields) => response_headers = fields,
            Err(denial) => return deny(report, denial, around),
        }
    }
    let (report, audit) = report.allowed(around);
    let forward = forward(config, &report, &decision, headers, audit);
    (Exchange(State::Admitted(Admitted { report, response_headers })), Effect::Forward(forward))
}

fn charge(config: &Config, quotas: &Quotas, report: &Report, around: &Around<'_>) -> Charge {
    let zone = &config.zones.quota;
    let subjects = Subjects { entity: &config.entity, group: report.granted_by(), principal: report.principal() };
    let secret = || around.worker.key_secrets.get(around.store, zone, around.now);
    quota::charge(around.store, quotas, zone, &subjects, report.method(), around.now, secret)
}

/// Puts the charge into the report; gives the fields of the answer.
///
/// # Errors
/// The denial, where the quotas are enforced and have no room, or the store failed and the configuration denies then.
fn judge(
    quotas: &Quotas,
    charge: Charge,
    report: &mut Report,
    around: &Around<'_>,
) -> Result<Vec<(&'static str, String)>, Denial> {
    match charge {
        Charge::Charged(states) => {
            let fields = quota::fields::headers(&states, quotas.x_ratelimit_headers);
            report.charged(quotas, states, around);
            Ok(fields)
        }
        Charge::Exhausted(states) => {
            report.exhausted(states.clone(), around);
            let denial = Denial::QuotaExhausted { states, x_ratelimit: quotas.x_ratelimit_headers };
            match quotas.mode {
                Mode::Enforce => Err(denial),
                Mode::Shadow => {
                    report.note_shadow(denial);
                    Ok(Vec::new())
                }
            }
        }
        Charge::StoreFailed(fault) => {
            around.worker.telemetry.store_fault(around.metrics, fault);
            match quotas.on_store_error {
                StoreFault::Deny => Err(Denial::QuotaStore(fault)),
                StoreFault::Allow => Ok(Vec::new()),
            }
        }
    }
}

fn forward(
    config: &Config,
    report: &Report,
    decision: &Decision,
    headers: &dyn RequestHeaders,
    audit: Option<(log::Level, String)>,
) -> Forward {
    let principal = report.principal();
    let mut remove = tags::strip_list(&config.tags, headers.names().as_deref());
    let mut set = tags::upstream_headers(config, principal);
    match tags::baggage(config, principal, headers.get("baggage").as_deref()) {
        Some(baggage) => set.push(("baggage", baggage)),
        None => remove.push("baggage".into()),
    }
    if !config.credentials.forward_token {
        tags::remove_credential(&config.credentials, headers, &mut remove, &mut set);
    }
    let context = if config.tags.context { tags::context(config, principal, decision) } else { Vec::new() };
    Forward { remove, set, context, audit }
}
