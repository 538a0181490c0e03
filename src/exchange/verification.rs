//! Signatures, looked at within a budget.

use super::{Around, Route};
use crate::denial::Denial;
use crate::host::RequestHeaders;
use crate::identity::{Address, Keys, Spender, TokenError, Unverified, Verified};

/// Verifies a token with these keys, unless too many that did not hold have come.
///
/// That no key fits is said first, for it costs nothing to find out.
pub(super) fn verify(
    route: &Route,
    unverified: &Unverified,
    keys: Keys<'_>,
    around: &Around<'_>,
    headers: &dyn RequestHeaders,
) -> Result<Verified, Denial> {
    let attempt = unverified.attempt(keys, around.now).map_err(Denial::Token)?;
    let (address, telemetry) = (client(headers), &around.worker.telemetry);
    if let Err(spent) = route.budget.ask(address, around.now) {
        let result = match spent.by {
            Spender::Address => "address_spent",
            Spender::Worker => "worker_spent",
        };
        telemetry.verification(around.metrics, result);
        return Err(Denial::VerificationsSpent(spent));
    }
    let outcome = attempt.verify();
    match &outcome {
        Ok(_) => route.budget.held(address, around.now),
        Err(_) => route.budget.failed(address, attempt.signatures(), around.now),
    }
    telemetry.verification(around.metrics, if outcome.is_ok() { "held" } else { "failed" });
    outcome.map_err(Denial::Token)
}

/// A token whose signature held is refused all the same, and so not remembered: it was looked at for nothing.
pub(super) fn in_vain(route: &Route, error: TokenError, around: &Around<'_>, headers: &dyn RequestHeaders) -> Denial {
    route.budget.failed(client(headers), 1, around.now);
    Denial::Token(error)
}

fn client(headers: &dyn RequestHeaders) -> Option<Address> {
    Address::parse(&headers.client()?)
}
