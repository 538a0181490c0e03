//! A verified token → the caller, as the catalog knows it.

use super::{map_groups, map_user};
use crate::catalog::Index;
use crate::config::{ClaimName, PrincipalKind};
use crate::identity::{Principal, TokenError, Verified, agent, client, kind};

/// The caller that a token names; groups by the catalog where they have to be looked up there.
///
/// # Errors
/// [`TokenError::NoPrincipal`] for a token that names no user although it should, or an agent without its name.
pub fn principal(verified: Verified, catalog: Option<&Index>) -> Result<Principal, TokenError> {
    let Verified { issuer, claims, expires, .. } = verified;
    let text = |name: &str| claims.text(&ClaimName(name.to_owned())).map(str::to_owned);
    let kind = kind(&issuer, &claims);
    let user = claims.text(&issuer.claims.user);
    if kind != PrincipalKind::Service && user.is_none() {
        return Err(TokenError::NoPrincipal(issuer.claims.user.0.clone()));
    }
    let agent = agent(&issuer, &claims).map(str::to_owned);
    if kind == PrincipalKind::Agent && agent.is_none() {
        return Err(TokenError::NoPrincipal(issuer.claims.agent.0.clone()));
    }
    let user = user.filter(|_| kind != PrincipalKind::Service);
    let client = client(&issuer, &claims).map(str::to_owned);
    let subject = text("sub").or_else(|| user.map(str::to_owned)).or_else(|| client.clone()).unwrap_or_default();
    Ok(Principal {
        kind,
        user: user.and_then(|claim| map_user(&issuer.users, claim)),
        subject,
        agent,
        client,
        groups: map_groups(&issuer.groups, &claims, &issuer.claims.groups, catalog),
        issuer: issuer.issuer.clone(),
        token_id: text("jti"),
        expires,
        claims,
    })
}
