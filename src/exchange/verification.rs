//! Signatures, looked at within a budget.

use super::{RequestContext, Route};
use crate::denial::Denial;
use crate::identity::{Address, Keys, Signed, Spender, Unverified};

/// Verifies a token's signature with these keys, unless too many that did not hold have come.
///
/// That no key fits is said first, for it costs nothing to find out.
pub(super) fn verify(
    route: &Route,
    unverified: &Unverified,
    keys: Keys<'_>,
    cx: &RequestContext<'_>,
) -> Result<Signed, Denial> {
    let attempt = unverified.attempt(keys, cx.now).map_err(Denial::Token)?;
    let (address, telemetry) = (client(cx), &cx.worker.telemetry);
    if let Err(spent) = route.budget.ask(address, attempt.cost(), cx.now) {
        let result = match spent.by {
            Spender::Address => "address_spent",
            Spender::Worker => "worker_spent",
        };
        telemetry.verification(cx.metrics, result);
        return Err(Denial::VerificationsSpent(spent));
    }
    let outcome = attempt.verify();
    match &outcome {
        Ok(_) => route.budget.held(address, cx.now),
        Err(_) => route.budget.failed(address, attempt.cost(), cx.now),
    }
    telemetry.verification(cx.metrics, if outcome.is_ok() { "held" } else { "failed" });
    outcome.map_err(Denial::Token)
}

fn client(cx: &RequestContext<'_>) -> Option<Address> {
    Address::parse(cx.facts.client()?)
}
