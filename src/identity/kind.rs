//! What a caller is: a user, a service, or an agent on a user's behalf.

use super::claims::Claims;
use crate::config::{Issuer, PrincipalKind};

/// The agent that acts, where one does: by default `sub` of `act` (RFC 8693 §4.1), whose outermost member is who acts now.
pub fn agent<'a>(issuer: &Issuer, claims: &'a Claims) -> Option<&'a str> {
    claims.text(&issuer.claims.agent)
}

/// User, service or agent.
pub fn kind(issuer: &Issuer, claims: &Claims) -> PrincipalKind {
    // An `act` without a usable `sub` still says that somebody else acts.
    if agent(issuer, claims).is_some() || claims.member("act").is_some() {
        return PrincipalKind::Agent;
    }
    let is_service = match &issuer.claims.service {
        Some((name, Some(value))) => claims.holds(name, value),
        Some((name, None)) => claims.get(name).is_some(),
        None => false,
    };
    // Where no user takes part, `sub` is the client itself (RFC 9068 §2.2).
    let is_client_itself =
        || claims.member("sub").is_some_and(|sub| client(issuer, claims).is_some_and(|it| sub == it));
    if is_service || is_client_itself() { PrincipalKind::Service } else { issuer.default_kind }
}

/// The OAuth client: the first of the configured claims that is there.
pub fn client<'a>(issuer: &Issuer, claims: &'a Claims) -> Option<&'a str> {
    issuer.claims.client.iter().find_map(|name| claims.text(name))
}
