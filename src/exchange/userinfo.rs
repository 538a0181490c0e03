//! Groups that a token does not carry: asked of its issuer with the caller's own token, once a token.

use super::identify::{Newcomer, remember_refusal};
use super::report::{Report, early_context};
use super::{Effect, RequestContext, State, Step, deny};
use crate::config::{Issuer, PrincipalKind, Userinfo};
use crate::denial::Denial;
use crate::http::{Call, Reply};
use crate::identity::claims::{Claims, Names};
use crate::identity::{Groups, GroupsUnknown, TokenError};
use crate::ownership::map_groups;
use crate::tags::Value;

use crate::worker::{Known, Refused};
use std::time::Duration;

/// Largest answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// How long a caller is remembered without its groups after the issuer did not tell them, and a token as refused by it.
const PAUSE: Duration = Duration::from_secs(10);

/// A request whose caller is known but for its groups.
pub(super) struct AwaitingUserinfo(Newcomer);

impl AwaitingUserinfo {
    /// The endpoint to ask: a user's token without the claim that groups come from, of an issuer that has one.
    pub(super) fn needed<'a>(issuer: &'a Issuer, known: &Known) -> Option<&'a Userinfo> {
        let is_silent = || known.principal.claims.names(&issuer.claims.groups) == Names::Absent;
        let is_known = matches!(known.principal.groups, Groups::Known(_));
        let may_have_groups = known.principal.kind != PrincipalKind::Service;
        issuer.userinfo.as_ref().filter(|_| may_have_groups && is_known && is_silent())
    }

    pub(super) fn ask(userinfo: &Userinfo, newcomer: Newcomer) -> Step {
        let call = Call {
            authorization: Some(format!("Bearer {}", newcomer.token)),
            ..userinfo.endpoint.get(userinfo.timeout, MAX_ANSWER_BYTES)
        };
        (State::AwaitingUserinfo(Box::new(Self(newcomer))), Effect::Dispatch(call))
    }

    pub(super) fn context(&self) -> Vec<(&'static str, Value)> {
        early_context(&self.0.route, self.0.request.callee.as_deref())
    }

    pub(super) fn answered(self, cx: &RequestContext<'_>, reply: Option<&Reply>) -> Step {
        let Self(mut newcomer) = self;
        let told = groups(&newcomer, reply);
        cx.worker.telemetry.userinfo(cx.metrics, &newcomer.issuer.issuer, told.name());
        match told {
            Told::Groups(groups) => newcomer.known.principal.groups = groups,
            Told::Refused => {
                let Newcomer { route, request, token, issuer, known, expires } = newcomer;
                let error = TokenError::RefusedByIssuer;
                let refused = Refused { error: error.clone(), key: known.key };
                remember_refusal(token, &issuer, refused, expires.min(cx.now.after(PAUSE)), cx);
                return deny(Report::new(&route, request), Denial::Token(error), cx);
            }
            Told::Nothing => {
                log::warn!("userinfo of issuer {} did not tell the groups of a token", newcomer.issuer.issuer);
                newcomer.known.principal.groups = Groups::Unknown(GroupsUnknown::Unavailable);
                newcomer.expires = newcomer.expires.min(cx.now.after(PAUSE));
            }
        }
        newcomer.remember(cx)
    }
}

/// What the issuer said.
enum Told {
    Groups(Groups),
    /// It does not take the token, or speaks of another subject.
    Refused,
    /// It did not answer, or not with what was asked.
    Nothing,
}

impl Told {
    fn name(&self) -> &'static str {
        match self {
            Self::Groups(_) => "fetched",
            Self::Refused => "refused",
            Self::Nothing => "failed",
        }
    }
}

fn groups(newcomer: &Newcomer, reply: Option<&Reply>) -> Told {
    let Some(userinfo) = &newcomer.issuer.userinfo else { return Told::Nothing };
    if reply.is_some_and(|reply| reply.status == 401) {
        return Told::Refused;
    }
    let body = reply.and_then(Reply::ok).filter(|body| body.len() <= MAX_ANSWER_BYTES);
    let Some(claims) = body.and_then(|body| Claims::parse(body).ok()) else { return Told::Nothing };
    if claims.text(&userinfo.subject) != Some(newcomer.known.principal.subject.as_str()) {
        return Told::Refused;
    }
    // An answer without the claim tells nothing; a user of no group has an empty list.
    match claims.names(&userinfo.groups) {
        Names::Absent => Told::Nothing,
        Names::Malformed | Names::List(_) => {
            let catalog = newcomer.request.catalog.as_deref();
            Told::Groups(map_groups(&newcomer.issuer.groups, &claims, &userinfo.groups, catalog))
        }
    }
}
