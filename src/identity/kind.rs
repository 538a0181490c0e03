//! What a caller is: a user, a service, or an agent on a user's behalf.

use super::claims::Claims;
use crate::config::{Issuer, PrincipalKind};

/// The agent that acts, where one does: by default `sub` of `act` (RFC 8693 §4.1), whose outermost member is who acts now.
pub fn agent<'a>(issuer: &Issuer, claims: &'a Claims) -> Option<&'a str> {
    claims.text(&issuer.claims.agent)
}

/// What a caller's kind was told by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KindBy {
    /// The claim that names an agent, or an `act`.
    Agent,
    /// The claim that marks a service.
    Service,
    /// The client, which is the subject itself.
    Client,
    /// Nothing in the token: the issuer's subjects are of this kind.
    Issuer(PrincipalKind),
}

impl KindBy {
    /// The kind.
    pub fn kind(self) -> PrincipalKind {
        match self {
            Self::Agent => PrincipalKind::Agent,
            Self::Service | Self::Client => PrincipalKind::Service,
            Self::Issuer(kind) => kind,
        }
    }
}

/// User, service or agent.
pub fn kind(issuer: &Issuer, claims: &Claims) -> PrincipalKind {
    kind_by(issuer, claims).kind()
}

/// The same, with what told it.
pub fn kind_by(issuer: &Issuer, claims: &Claims) -> KindBy {
    // An `act` without a usable `sub` still says that somebody else acts.
    if agent(issuer, claims).is_some() || claims.member("act").is_some() {
        return KindBy::Agent;
    }
    let is_service = match &issuer.claims.service {
        Some((name, Some(value))) => claims.holds(name, value),
        Some((name, None)) => claims.get(name).is_some(),
        None => false,
    };
    // Where no user takes part, `sub` is the client itself (RFC 9068 §2.2).
    let is_client_itself =
        || claims.member("sub").is_some_and(|sub| client(issuer, claims).is_some_and(|it| sub == it));
    match (is_service, issuer.default_kind) {
        (true, _) => KindBy::Service,
        (false, _) if is_client_itself() => KindBy::Client,
        (false, kind) => KindBy::Issuer(kind),
    }
}

/// The OAuth client: the first of the configured claims that is there.
pub fn client<'a>(issuer: &Issuer, claims: &'a Claims) -> Option<&'a str> {
    issuer.claims.client.iter().find_map(|name| claims.text(name))
}
