//! A token whose signature was verified now: its caller, or its refusal, is remembered for the next request.

use super::report::Report;
use super::request::Request;
use super::verdict::deny;
use super::{RequestContext, Route, Step, admit};
use crate::config::Issuer;
use crate::denial::Denial;
use crate::host::UnixMillis;
use crate::identity::{CachedToken, Groups, GroupsUnknown, TokenError};
use crate::jose::KeyId;
use crate::ownership::{GroupNames, map_names};
use crate::worker::{CachedPrincipal, CachedRefusal, GroupsBy};
use std::rc::Rc;
use std::time::Duration;

/// A signed token that is refused.
pub(super) struct Refusal {
    pub token: String,
    pub issuer: Rc<Issuer>,
    pub key: KeyId,
    /// Until when it is remembered.
    pub expires: UnixMillis,
    pub error: TokenError,
}

impl Refusal {
    /// Denies the request, and remembers to deny others with this token without looking at its signature again.
    pub(super) fn deny(self, route: &Rc<Route>, request: Request, cx: &RequestContext<'_>) -> Step {
        let Self { token, issuer, key, expires, error } = self;
        let known = Rc::new(CachedRefusal { error: error.clone(), key });
        let entry = CachedToken { issuer: issuer.id, learned: cx.now, expires, bytes: 0, known };
        cx.worker.refused.borrow_mut().insert(token, entry);
        deny(Report::new(route, request), Denial::Token(error), cx)
    }
}

/// A caller whose token was not seen before.
pub(super) struct NewCaller {
    pub route: Rc<Route>,
    pub request: Request,
    pub token: String,
    pub issuer: Rc<Issuer>,
    pub known: CachedPrincipal,
    /// Until when it is remembered.
    pub expires: UnixMillis,
}

impl NewCaller {
    pub(super) fn admit_without_groups(mut self, cx: &RequestContext<'_>) -> Step {
        self.known.principal.groups = Groups::Unknown(GroupsUnknown::Unavailable);
        admit::admit(&self.route, self.request, Some(Rc::new(self.known)), cx)
    }

    pub(super) fn remember(self, cx: &RequestContext<'_>) -> Step {
        let bytes = self.known.issuer_groups_bytes();
        let known = Rc::new(self.known);
        let entry =
            CachedToken { issuer: self.issuer.id, learned: cx.now, expires: self.expires, bytes, known: known.clone() };
        cx.worker.tokens.borrow_mut().insert(self.token, entry);
        admit::admit(&self.route, self.request, Some(known), cx)
    }

    /// Notes what its issuer said of its groups.
    pub(super) fn learn(&mut self, names: GroupNames) {
        let catalog = self.request.catalog.as_deref();
        self.known.principal.groups = map_names(&self.issuer.groups, &names, catalog);
        self.known.issuer_groups = (self.known.groups_by != GroupsBy::Token).then_some(names);
    }

    /// Goes on without groups, which are asked for again after a pause.
    pub(super) fn without_groups(mut self, pause: Duration, cx: &RequestContext<'_>) -> Step {
        self.learn(Err(GroupsUnknown::Unavailable));
        self.expires = self.expires.min(cx.now.after(pause));
        self.remember(cx)
    }
}
