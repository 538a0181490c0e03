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
mod aim;
mod charge;
mod findings;
mod identify;
mod report;
mod request;
mod rotation;
mod route;
mod upkeep;
mod userinfo;
mod verification;

pub use findings::Findings;
pub use route::Route;
use upkeep::fetch_answered;
pub use upkeep::{Errand, tick};

use crate::denial::Denial;
use crate::host::{Metrics, RequestHeaders, SharedData, UnixMillis};
use crate::http::{Call, Reply};
use crate::tags::Value;
use crate::worker::Worker;
use aim::AwaitingCatalog;
use charge::AwaitingQuota;
use identify::AwaitingKeys;
use report::Report;
use request::Request;
use std::rc::Rc;
use userinfo::AwaitingUserinfo;

/// The world around an event.
pub struct Around<'a> {
    /// What the routes of this worker share.
    pub worker: &'a Worker,
    /// What the workers of this node share.
    pub store: &'a dyn SharedData,
    /// Where counts go.
    pub metrics: &'a dyn Metrics,
    /// The time of the event.
    pub now: UnixMillis,
}

/// A request in one of its states.
pub struct Exchange(State);

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
    /// Headers to remove.
    pub remove: Vec<std::borrow::Cow<'static, str>>,
    /// Headers to set, after that.
    pub set: Vec<(&'static str, Value)>,
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

/// A request has come.
pub fn begin(route: &Rc<Route>, around: &Around<'_>, headers: &dyn RequestHeaders) -> (Exchange, Effect) {
    let request = Request::read(headers, around.now);
    if route.config.credentials.pass_cors_preflight && request.is_preflight(headers) {
        return admit::preflight(route, Request { callee: route.callee.clone(), ..request }, around, headers);
    }
    aim::aim(route, request, around, headers)
}

/// A request has come for a route whose configuration was refused.
pub fn refuse_misconfigured(around: &Around<'_>, headers: &dyn RequestHeaders) -> (Exchange, Effect) {
    let request = Request::read(headers, around.now);
    deny(Report::without_route(request), Denial::Configuration, around, headers)
}

impl Exchange {
    /// The answer to the call of [`Effect::Dispatch`] has come, or none will (`None`).
    pub fn answered(self, around: &Around<'_>, headers: &dyn RequestHeaders, reply: Option<&Reply>) -> (Self, Effect) {
        match self.0 {
            State::AwaitingCatalog(awaiting) => awaiting.answered(around, headers, reply),
            State::AwaitingKeys(awaiting) => awaiting.answered(around, headers, reply),
            State::AwaitingUserinfo(awaiting) => awaiting.answered(around, headers, reply),
            State::AwaitingQuota(awaiting) => awaiting.answered(around, headers, reply),
            State::Admitted(_) | State::Denied(_) => (self, Effect::Nothing),
        }
    }

    /// Fields for the answer to the client.
    pub fn response_headers(&self) -> &[(&'static str, String)] {
        match &self.0 {
            State::Admitted(admitted) => &admitted.response_headers,
            State::AwaitingCatalog(_)
            | State::AwaitingKeys(_)
            | State::AwaitingUserinfo(_)
            | State::AwaitingQuota(_)
            | State::Denied(_) => &[],
        }
    }

    /// What a gateway that can pass it on to later code is told of an admitted request.
    pub fn context(&self) -> Vec<(&'static str, Value)> {
        match &self.0 {
            State::Admitted(Admitted { report, has_context: true, .. }) => report.context(),
            State::Admitted(_)
            | State::AwaitingCatalog(_)
            | State::AwaitingKeys(_)
            | State::AwaitingUserinfo(_)
            | State::AwaitingQuota(_)
            | State::Denied(_) => Vec::new(),
        }
    }

    /// What was found out about the request, once it is settled.
    pub fn findings(&self) -> Option<Findings<'_>> {
        match &self.0 {
            State::Admitted(Admitted { report, .. }) | State::Denied(report) => Some(report.findings()),
            State::AwaitingCatalog(_)
            | State::AwaitingKeys(_)
            | State::AwaitingUserinfo(_)
            | State::AwaitingQuota(_) => None,
        }
    }

    /// The answer is out, or the client is gone (`None`).
    pub fn finished(self, around: &Around<'_>, status: Option<u16>) {
        match self.0 {
            State::AwaitingCatalog(_) | State::AwaitingKeys(_) | State::AwaitingUserinfo(_) => {}
            State::AwaitingQuota(awaiting) => awaiting.abandoned(around),
            State::Admitted(Admitted { report, .. }) | State::Denied(report) => report.finished(around, status),
        }
    }
}

fn deny(report: Report, denial: Denial, around: &Around<'_>, headers: &dyn RequestHeaders) -> (Exchange, Effect) {
    let (report, answer, audit) = report.denied(denial, around, headers);
    let answer = Answer { status: answer.status, headers: answer.headers, body: answer.body, audit };
    (Exchange(State::Denied(report)), Effect::Answer(answer))
}

#[cfg(test)]
mod tests;
