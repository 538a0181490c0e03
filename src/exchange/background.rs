//! What a worker does beside requests: key sets are fetched ahead of age, catalogs are read, keys that should be replaced are named,
//! and counts are kept in step with a quota engine.
//!
//! One call at a time, and each at a tick of its own. Kong 3.9 demands it: a dispatch from the answer to another background call
//! kills the worker, and so do two background calls at a time to one name that has to be resolved, and one that waits for the look-up
//! of a request.

use super::upkeep::{fetch_answered, push_answered, read_answered, tell_catalog};
use super::{Context, Route, rotation};
use crate::catalog::live::{CatalogRead, LiveCatalog};
use crate::host::UnixMillis;
use crate::http::{Call, Reply};
use crate::keyring::{Fetch, RemoteKeySet};
use crate::quota::engine::{EngineState, Push};
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// How often a worker ticks. The answer to a background call leads to the next call a tick later, so this bounds how long discovery
/// and a catalog of many pages take; a tick with nothing to do costs some microseconds.
pub const TICK: Duration = Duration::from_millis(50);
/// How often key sets, catalogs and the age of keys are looked over.
const SURVEY: Duration = Duration::from_secs(5);
/// After how long without an answer a call does not keep others waiting any longer. Kong ends calls by itself, but a resolver that
/// does not answer takes it 30 s, and a server that sends byte by byte as long as it likes.
const LOST: Duration = Duration::from_secs(60);

/// After how long a call that was given up is forgotten, so that its server is called again.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// A worker's calls beside requests.
#[derive(Default)]
pub struct Background {
    waiting: RefCell<VecDeque<Task>>,
    in_flight: RefCell<Option<PendingCall>>,
    given_up: RefCell<Vec<GivenUp>>,
    /// For each upstream that requests have asked, what those hold that wait for its answer.
    asked: RefCell<HashMap<String, Rc<()>>>,
    surveyed: Cell<UnixMillis>,
}

/// What a request holds while it waits for an upstream's answer.
pub struct Asking(#[expect(dead_code, reason = "held to be counted")] Rc<()>);

/// A call that was made, and waits for its answer.
struct PendingCall {
    token: u32,
    errand: Errand,
    upstream: String,
    /// Longest body that is read of the answer.
    limit: usize,
    since: UnixMillis,
}

/// A call that was given up. Until the host has ended it, its server is not called again: two calls at a time to one name are what
/// Kong cannot take.
struct GivenUp {
    token: u32,
    upstream: String,
    since: UnixMillis,
}

/// What is to be done when its turn comes.
enum Task {
    Keys(Rc<RemoteKeySet>),
    Catalog(Rc<LiveCatalog>),
    Counts(Rc<EngineState>),
    /// The next call of an errand that has begun.
    Next(Errand),
}

/// Something to ask another server, in one call or several.
enum Errand {
    Catalog(Box<CatalogRead>),
    Keys(Fetch),
    Counts(Push),
}

/// What a worker does at each tick for all its routes. Makes one call by `send`, which gives the host's token for it, where something
/// is due and no other call waits for its answer. What is due for a node is done by one of its workers.
pub fn tick(background: &Background, route: &Route, cx: &Context<'_>, send: &mut dyn FnMut(&Call) -> Option<u32>) {
    if background.is_waiting(cx) {
        return;
    }
    background.survey(route, cx);
    while let Some(task) = background.next() {
        let Some(errand) = task.begin(cx) else { continue };
        let call = errand.call(cx.now);
        if background.is_asked(&call.to.upstream) {
            // A later tick makes the call.
            background.follow(Some(errand));
            return;
        }
        let token = if background.is_given_up(&call) { None } else { send(&call) };
        match token {
            Some(token) => {
                background.in_flight.replace(Some(PendingCall {
                    token,
                    errand,
                    upstream: call.to.upstream,
                    limit: call.limit,
                    since: cx.now,
                }));
                return;
            }
            // As good as a server that does not answer.
            None => background.follow(errand.answered(cx, None)),
        }
    }
}

/// The answer to a background call has come, or none will (`None`). The answer to a call that was given up is ignored.
pub fn background_answered(background: &Background, cx: &Context<'_>, token: u32, reply: Option<&Reply>) {
    background.given_up.borrow_mut().retain(|call| call.token != token);
    let is_awaited = |call: &PendingCall| call.token == token;
    let answered = background.in_flight.borrow_mut().take_if(|call| is_awaited(call));
    if let Some(PendingCall { errand, .. }) = answered {
        background.follow(errand.answered(cx, reply));
    }
}

impl Background {
    /// The longest body that is read of the answer to this call; `None` for a call that was given up.
    pub fn limit(&self, token: u32) -> Option<usize> {
        let in_flight = self.in_flight.borrow();
        in_flight.as_ref().filter(|call| call.token == token).map(|call| call.limit)
    }

    /// A request asks this upstream. Until what is returned is dropped, ticks do not.
    pub fn asking(&self, upstream: &str) -> Asking {
        let mut asked = self.asked.borrow_mut();
        if let Some(held) = asked.get(upstream) {
            return Asking(Rc::clone(held));
        }
        let held = Rc::default();
        asked.insert(upstream.to_owned(), Rc::clone(&held));
        Asking(held)
    }

    /// Whether a request waits for this upstream, and may wait for its name. An address needs no look-up.
    fn is_asked(&self, upstream: &str) -> bool {
        let is_waited_for = |held: &Rc<()>| Rc::strong_count(held) > 1;
        self.asked.borrow().get(upstream).is_some_and(is_waited_for) && upstream.parse::<SocketAddr>().is_err()
    }

    /// Whether a call waits for its answer. One that has waited for too long is given up.
    fn is_waiting(&self, cx: &Context<'_>) -> bool {
        let is_lost = |call: &PendingCall| cx.now.since(call.since) > LOST;
        let lost = self.in_flight.borrow_mut().take_if(|call| is_lost(call));
        if let Some(PendingCall { token, errand, upstream, .. }) = lost {
            self.given_up.borrow_mut().push(GivenUp { token, upstream, since: cx.now });
            self.follow(errand.answered(cx, None));
        }
        self.given_up.borrow_mut().retain(|call| cx.now.since(call.since) < FORGOTTEN);
        self.in_flight.borrow().is_some()
    }

    fn is_given_up(&self, call: &Call) -> bool {
        self.given_up.borrow().iter().any(|other| other.upstream == call.to.upstream)
    }

    fn next(&self) -> Option<Task> {
        self.waiting.borrow_mut().pop_front()
    }

    /// Queues the next call of an errand behind what waits already, so that a long one does not keep the others waiting.
    fn follow(&self, errand: Option<Errand>) {
        self.waiting.borrow_mut().extend(errand.map(Task::Next));
    }

    /// Queues what is due, unless it is in the queue already. What a request began and left is looked at each time, so that clients
    /// that come and go do not keep it from being done.
    fn survey(&self, route: &Route, cx: &Context<'_>) {
        for engine in cx.worker.engines.all().into_iter().filter(|engine| engine.is_due(cx.now)) {
            self.queue(Task::Counts(engine));
        }
        let surveyed = self.surveyed.get();
        // Ticks are not to the millisecond: nine tenths of the time count as all of it.
        let is_survey = surveyed > cx.now || cx.now.since(surveyed) >= SURVEY * 9 / 10;
        if is_survey {
            self.surveyed.set(cx.now);
            rotation::check(&route.config.zones.keys, cx);
        } else if !cx.worker.keyring.has_left() && !cx.worker.catalogs.has_left() {
            return;
        }
        for set in cx.worker.keyring.in_use() {
            if is_survey {
                cx.worker.telemetry.key_set_age(cx.metrics, set.issuer(), set.age(cx.now));
            }
            if (is_survey || set.is_left()) && set.is_refresh_due(cx.store, cx.now, SURVEY) {
                self.queue(Task::Keys(set));
            }
        }
        for catalog in cx.worker.catalogs.in_use() {
            if is_survey {
                tell_catalog(&catalog, cx);
            }
            if (is_survey || catalog.is_left()) && catalog.is_refresh_due(cx.store, cx.now, SURVEY) {
                self.queue(Task::Catalog(catalog));
            }
        }
    }

    fn queue(&self, task: Task) {
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|other| other.is_same(&task)) {
            waiting.push_back(task);
        }
    }
}

impl Task {
    /// Takes the lease that its first call needs; `None` where there is nothing to do any more.
    fn begin(self, cx: &Context<'_>) -> Option<Errand> {
        match self {
            Self::Keys(set) => set.refresh(cx.store, cx.now, SURVEY).map(Errand::Keys),
            Self::Catalog(catalog) => catalog.refresh(cx.store, cx.now, SURVEY).map(Errand::Catalog),
            Self::Counts(engine) => engine.next_push(cx.store, cx.now).map(Errand::Counts),
            Self::Next(errand) => Some(errand),
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Keys(one), Self::Keys(other)) => Rc::ptr_eq(one, other),
            (Self::Catalog(one), Self::Catalog(other)) => Rc::ptr_eq(one, other),
            (Self::Counts(one), Self::Counts(other)) => Rc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl Errand {
    /// The call to make now.
    fn call(&self, now: UnixMillis) -> Call {
        match self {
            Self::Catalog(pass) => pass.call(),
            Self::Keys(fetch) => fetch.call(),
            Self::Counts(push) => push.call(now),
        }
    }

    /// Takes the answer to the call. Gives the errand back where it has another call to make.
    fn answered(self, cx: &Context<'_>, reply: Option<&Reply>) -> Option<Self> {
        match self {
            Self::Catalog(pass) => read_answered(pass, cx, reply).map(Self::Catalog),
            Self::Keys(fetch) => fetch_answered(fetch, cx, reply).map(Self::Keys),
            Self::Counts(push) => push_answered(push, cx, reply).map(Self::Counts),
        }
    }
}
