//! One request, as a state machine: events in, effects out.
//!
//! ```text
//! begin ──► AwaitingCatalog ──► AwaitingKeys ──► AwaitingUserinfo ──► AwaitingQuota ──► Admitted | Denied ──finished──► ∎
//! ```
//!
//! Each of the four that wait may wait for several answers, one after another, and is passed over where there is nothing to wait for.
//!
//! Each state is a struct named for what it awaits. The adapter carries effects out and decides nothing.

mod admit;
mod background;
mod caller;
mod charge;
mod findings;
mod identify;
mod report;
mod request;
mod resolve;
mod rotation;
mod route;
mod route_catalog;
mod upkeep;
mod userinfo;
mod verdict;
mod verification;

pub use background::{Asking, Background, TICK, background_answered, tick};
pub use findings::Findings;
pub use route::Route;

use crate::denial::Denial;
use crate::host::{HostFacts, Metrics, RequestHeaders, SharedData, Snapshot, UnixMillis};
use crate::http::{Call, Reply};
use crate::tags::{ClientLines, Edit, Value};
use crate::worker::Worker;
use charge::AwaitingQuota;
use identify::AwaitingKeys;
use report::Report;
use request::Request;
use resolve::AwaitingCatalog;
use std::ops::Deref;
use std::rc::Rc;
use userinfo::AwaitingUserinfo;
use verdict::deny;

/// What an event can use: the worker, the node and the time.
pub struct Context<'a> {
    /// What the routes of this worker share.
    pub worker: &'a Worker,
    /// What the workers of this node share.
    pub store: &'a dyn SharedData,
    /// Where counts go.
    pub metrics: &'a dyn Metrics,
    /// The time of the event.
    pub now: UnixMillis,
}

/// What an event of a request can use besides: its header lines, and what the host tells of it.
struct RequestContext<'a> {
    context: &'a Context<'a>,
    headers: &'a dyn RequestHeaders,
    facts: &'a dyn HostFacts,
}

impl<'a> Deref for RequestContext<'a> {
    type Target = Context<'a>;

    fn deref(&self) -> &Context<'a> {
        self.context
    }
}

/// A request in one of its states.
pub struct Exchange {
    state: State,
    /// What the host told when the request arrived; read before the request first waits, and never again.
    facts: Snapshot,
}

/// What an event leads to: the request's next state, and what the adapter does.
type Step = (State, Effect);

enum State {
    AwaitingCatalog(Box<AwaitingCatalog>),
    AwaitingKeys(Box<AwaitingKeys>),
    AwaitingUserinfo(Box<AwaitingUserinfo>),
    AwaitingQuota(Box<AwaitingQuota>),
    Admitted(Admitted),
    Denied(Report),
}

/// On its way to the upstream.
struct Admitted {
    report: Report,
    /// Fields that the answer gets.
    response_headers: Vec<(&'static str, String)>,
    /// Whether later code in the gateway is told of the request.
    has_context: bool,
}

/// What the adapter does next.
pub enum Effect {
    /// Change the request and let it pass.
    Forward(Forward),
    /// Make a call, hold the request, and report what comes as [`Exchange::answered`].
    Dispatch(Call),
    /// Answer in the upstream's place.
    Answer(Answer),
    /// Nothing: the request is settled and stays as it is.
    Nothing,
}

/// How the request changes on its way.
#[derive(Debug, Default)]
pub struct Forward {
    /// What becomes of its header lines.
    pub edits: Vec<Edit>,
    /// The audit line and its level, unless sampling leaves it out.
    pub audit: Option<(log::Level, String)>,
}

/// An answer in the upstream's place.
#[derive(Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Headers, no name twice.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// The audit line and its level.
    pub audit: Option<(log::Level, String)>,
}

/// A request has arrived. The only event that may ask the host for `facts`.
pub fn begin(
    route: &Rc<Route>,
    context: &Context<'_>,
    headers: &dyn RequestHeaders,
    facts: &dyn HostFacts,
) -> (Exchange, Effect) {
    let (state, effect) = arrive(route, &RequestContext { context, headers, facts });
    let facts = if matches!(effect, Effect::Dispatch(_)) { Snapshot::of(facts) } else { Snapshot::default() };
    (Exchange { state, facts }, effect)
}

fn arrive(route: &Rc<Route>, cx: &RequestContext<'_>) -> Step {
    let request = Request::bare(cx);
    match ClientLines::read(&route.config, cx.headers) {
        Ok(lines) => resolve::resolve(route, Request { lines, ..request }, cx),
        Err(fault) => {
            let request = Request { callee: route.callee.clone(), ..request };
            deny(Report::new(route, request), Denial::Headers(fault), cx)
        }
    }
}

/// A request has arrived for a route whose configuration was refused.
pub fn refuse_misconfigured(
    context: &Context<'_>,
    headers: &dyn RequestHeaders,
    facts: &dyn HostFacts,
) -> (Exchange, Effect) {
    let cx = RequestContext { context, headers, facts };
    let (state, effect) = deny(Report::without_route(Request::bare(&cx)), Denial::Configuration, &cx);
    (Exchange { state, facts: Snapshot::default() }, effect)
}

/// An answer has come to a request that the gateway did not ask about. It does not reach the client, unless the route only
/// records.
pub fn refuse_unasked(
    route: Option<&Rc<Route>>,
    context: &Context<'_>,
    headers: &dyn RequestHeaders,
) -> (Exchange, Effect) {
    let facts = Snapshot::default();
    let cx = RequestContext { context, headers, facts: &facts };
    let request = Request { callee: route.and_then(|route| route.callee.clone()), ..Request::bare(&cx) };
    let report = match route {
        Some(route) => Report::new(route, request),
        None => Report::without_route(request),
    };
    let (state, effect) = deny(report, Denial::NotAsked, &cx);
    (Exchange { state, facts }, effect)
}

impl Exchange {
    /// The answer to the call of [`Effect::Dispatch`] has come, or none will (`None`).
    pub fn answered(
        self,
        context: &Context<'_>,
        headers: &dyn RequestHeaders,
        reply: Option<&Reply>,
    ) -> (Self, Effect) {
        let Self { state, facts } = self;
        let cx = RequestContext { context, headers, facts: &facts };
        let (state, effect) = match state {
            State::AwaitingCatalog(awaiting) => awaiting.answered(&cx, reply),
            State::AwaitingKeys(awaiting) => awaiting.answered(&cx, reply),
            State::AwaitingUserinfo(awaiting) => awaiting.answered(&cx, reply),
            State::AwaitingQuota(awaiting) => awaiting.answered(&cx, reply),
            state @ (State::Admitted(_) | State::Denied(_)) => (state, Effect::Nothing),
        };
        (Self { state, facts }, effect)
    }

    /// Fields for the answer to the client.
    pub fn response_headers(&self) -> &[(&'static str, String)] {
        match &self.state {
            State::Admitted(admitted) => &admitted.response_headers,
            State::AwaitingCatalog(_)
            | State::AwaitingKeys(_)
            | State::AwaitingUserinfo(_)
            | State::AwaitingQuota(_)
            | State::Denied(_) => &[],
        }
    }

    /// What later code in the gateway is told of the request, as far as it is known by now. A request that waits has its entity;
    /// one that is admitted also has who called and why it passed.
    pub fn context(&self) -> Vec<(&'static str, Value)> {
        match &self.state {
            State::Admitted(Admitted { report, has_context: true, .. }) => report.context(),
            State::AwaitingKeys(awaiting) => awaiting.context(),
            State::AwaitingUserinfo(awaiting) => awaiting.context(),
            State::AwaitingQuota(awaiting) => awaiting.context(),
            State::Admitted(_) | State::AwaitingCatalog(_) | State::Denied(_) => Vec::new(),
        }
    }

    /// What was found out about the request, once it is settled.
    pub fn findings(&self) -> Option<Findings<'_>> {
        match &self.state {
            State::Admitted(Admitted { report, .. }) | State::Denied(report) => Some(report.findings()),
            State::AwaitingCatalog(_)
            | State::AwaitingKeys(_)
            | State::AwaitingUserinfo(_)
            | State::AwaitingQuota(_) => None,
        }
    }

    /// The answer is out, or the client is gone (`None`). The line that tells of it and its level, where the route has it told.
    pub fn finished(self, cx: &Context<'_>, status: Option<u16>) -> Option<(log::Level, String)> {
        match self.state {
            State::Admitted(Admitted { report, .. }) | State::Denied(report) => report.finished(cx, status),
            _ => {
                self.gone(cx);
                None
            }
        }
    }

    /// The request is gone, and nobody says how it ended. What it did for others is left to them.
    pub fn gone(self, cx: &Context<'_>) {
        match self.state {
            State::AwaitingCatalog(awaiting) => awaiting.abandoned(cx),
            State::AwaitingKeys(awaiting) => awaiting.abandoned(cx),
            State::AwaitingQuota(awaiting) => awaiting.abandoned(cx),
            State::AwaitingUserinfo(_) | State::Admitted(_) | State::Denied(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
