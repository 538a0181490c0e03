//! Signatures, verified within a budget and once a node.

use super::{RequestContext, Route};
use crate::denial::Denial;
use crate::identity::{Address, BudgetOwner, Keys, SignatureRecord, Signed, Unverified};

/// Verifies a token's signature with these keys, unless a worker of this node did, or too many forged ones came.
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
    let signature = attempt.signature();
    let read = || SignatureRecord::read(cx.store, &route.config.zones.keys, &signature);
    let record = if matches!(keys, Keys::Set(_)) { read() } else { None };
    let signer = record.as_ref().and_then(|record| record.signer(&signature));
    if let Some(signed) = signer.and_then(|key| attempt.signed_by(key)) {
        route.budget.valid(address, cx.now);
        telemetry.verification(cx.metrics, "known");
        return Ok(signed);
    }
    let cost = attempt.cost();
    if let Err(spent) = route.budget.ask(address, cost, cx.now) {
        let result = match spent.by {
            BudgetOwner::Address => "address_spent",
            BudgetOwner::Worker => "worker_spent",
        };
        telemetry.verification(cx.metrics, result);
        return Err(Denial::VerificationBudget(spent));
    }
    let outcome = attempt.verify();
    match &outcome {
        Ok(signed) => {
            route.budget.valid(address, cx.now);
            if let Some(record) = record {
                record.remember(cx.store, &signature, signed.key);
            }
        }
        Err(_) => route.budget.failed(address, cost, cx.now),
    }
    telemetry.verification(cx.metrics, if outcome.is_ok() { "held" } else { "failed" });
    outcome.map_err(Denial::Token)
}

fn client(cx: &RequestContext<'_>) -> Option<Address> {
    Address::parse(cx.facts.client()?)
}
