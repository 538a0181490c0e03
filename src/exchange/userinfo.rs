//! Groups that a token does not carry: asked of its issuer with the caller's own token, once a token.

use super::caller::{NewCaller, Refusal};
use super::report::early_context;
use super::{Effect, RequestContext, State, Step};
use crate::config::{Issuer, PrincipalKind, Userinfo};
use crate::http::{Call, Reply};
use crate::identity::claims::{Claims, Names};
use crate::identity::{Groups, TokenError};
use crate::ownership::{GroupNames, group_names};
use crate::semaphore::Permit;
use crate::tags::Value;
use crate::worker::CachedPrincipal;
use std::time::Duration;

/// Largest answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// How long a caller is remembered without its groups after the issuer did not tell them, and a token as refused by the issuer.
const PAUSE: Duration = Duration::from_secs(10);
/// Requests of one worker that ask an issuer at a time.
const MAX_ASKING: u32 = 16;
/// How long a caller is remembered without its groups after too many asked to ask for it.
const BUSY_PAUSE: Duration = Duration::from_secs(1);

/// A request whose caller is known but for its groups.
pub(super) struct AwaitingUserinfo {
    caller: NewCaller,
    /// Its place among those who ask.
    permit: Permit,
}

impl AwaitingUserinfo {
    /// The endpoint to ask: a user's token without the claim that groups come from, of an issuer that has one.
    pub(super) fn needed<'a>(issuer: &'a Issuer, known: &CachedPrincipal) -> Option<&'a Userinfo> {
        let is_silent = || known.principal.claims.names(&issuer.claims.groups) == Names::Absent;
        let is_known = matches!(known.principal.groups, Groups::Known(_));
        let may_have_groups = known.principal.kind != PrincipalKind::Service;
        issuer.userinfo.as_ref().filter(|_| may_have_groups && is_known && is_silent())
    }

    pub(super) fn ask(userinfo: &Userinfo, caller: NewCaller, cx: &RequestContext<'_>) -> Step {
        let asking = cx.worker.asking(&caller.issuer);
        if !asking.are_below(MAX_ASKING) {
            cx.worker.telemetry.userinfo(cx.metrics, &caller.issuer.issuer, "busy");
            return caller.without_groups(BUSY_PAUSE, cx);
        }
        let call = Call {
            authorization: Some(format!("Bearer {}", caller.token)),
            ..userinfo.endpoint.get(userinfo.timeout, MAX_ANSWER_BYTES)
        };
        (State::AwaitingUserinfo(Box::new(Self { caller, permit: asking.take() })), Effect::Dispatch(call))
    }

    pub(super) fn context(&self) -> Vec<(&'static str, Value)> {
        early_context(&self.caller.route, self.caller.request.callee.as_deref())
    }

    pub(super) fn answered(self, cx: &RequestContext<'_>, reply: Option<&Reply>) -> Step {
        let Self { mut caller, permit } = self;
        drop(permit);
        let told = groups(&caller, reply);
        cx.worker.telemetry.userinfo(cx.metrics, &caller.issuer.issuer, told.name());
        match told {
            UserinfoAnswer::Names(names) => caller.learn(names),
            UserinfoAnswer::Refused => {
                let NewCaller { route, request, token, issuer, known, expires } = caller;
                let (expires, error) = (expires.min(cx.now.after(PAUSE)), TokenError::RefusedByIssuer);
                return Refusal { token, issuer, key: known.key, expires, error }.deny(&route, request, cx);
            }
            UserinfoAnswer::Nothing => {
                log::warn!("userinfo of issuer {} did not tell the groups of a token", caller.issuer.issuer);
                return caller.without_groups(PAUSE, cx);
            }
        }
        caller.remember(cx)
    }
}

/// What the issuer said.
enum UserinfoAnswer {
    Names(GroupNames),
    /// It does not take the token, or speaks of another subject.
    Refused,
    /// It did not answer, or not with what was asked.
    Nothing,
}

impl UserinfoAnswer {
    fn name(&self) -> &'static str {
        match self {
            Self::Names(_) => "fetched",
            Self::Refused => "refused",
            Self::Nothing => "failed",
        }
    }
}

fn groups(caller: &NewCaller, reply: Option<&Reply>) -> UserinfoAnswer {
    let Some(userinfo) = &caller.issuer.userinfo else { return UserinfoAnswer::Nothing };
    if reply.is_some_and(|reply| reply.status == 401) {
        return UserinfoAnswer::Refused;
    }
    let body = reply.and_then(Reply::ok).filter(|body| body.len() <= MAX_ANSWER_BYTES);
    let Some(claims) = body.and_then(|body| Claims::parse(body).ok()) else { return UserinfoAnswer::Nothing };
    if claims.text(&userinfo.subject) != Some(caller.known.principal.subject.as_str()) {
        return UserinfoAnswer::Refused;
    }
    // An answer without the claim tells nothing; a user of no group has an empty list.
    match claims.names(&userinfo.groups) {
        Names::Absent => UserinfoAnswer::Nothing,
        Names::Malformed | Names::List(_) => {
            let names = group_names(&caller.issuer.groups, &claims, &userinfo.groups);
            UserinfoAnswer::Names(names.map(|names| names.into_iter().map(Box::from).collect()))
        }
    }
}
