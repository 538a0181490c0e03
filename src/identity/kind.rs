//! What a caller is: a user, a service, or an agent on a user's behalf.

use super::claims::Claims;
use crate::config::{ClaimName, Issuer, PrincipalKind};

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
    match &issuer.claims.service {
        Some(name) if claims.get(name).is_some() => PrincipalKind::Service,
        _ => issuer.default_kind,
    }
}

/// The OAuth client: the configured claim, else `azp`, else `client_id`.
pub fn client<'a>(issuer: &Issuer, claims: &'a Claims) -> Option<&'a str> {
    match &issuer.claims.client {
        Some(name) => claims.text(name),
        None => ["azp", "client_id"].into_iter().find_map(|name| claims.text(&ClaimName(name.to_owned()))),
    }
}
