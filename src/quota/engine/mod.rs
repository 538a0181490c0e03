//! Quotas that the nodes of a cluster count together, in Redis behind Webdis.
//!
//! **Exact** (`ask.rs`): each request is one call of a script that charges all its records or none. No budget is passed.
//!
//! **Periodic**: a request is charged to the node's own records. They hold what the engine last said, and on top what this node
//! admitted since and the engine has not said that it knows of. Beside requests (`sync.rs`) a worker pushes what is owed and takes
//! back the engine's counts, each record about once an interval. A request asks the engine itself, as in exact mode, where
//!
//! - the node has not heard of one of its records for two intervals, or has not pushed what it owes for it for two intervals, or
//! - the worker keeps too many records in step already (10,000).
//!
//! **What holds.** One node alone never admits more than the limit, however its workers' questions and pushes are answered: out of
//! order, late, or not at all. Each request that asks is charged to the node's record before it is sent, so that other workers
//! see it; and where the record has no room because of units that the engine does not know of yet, the request is refused
//! without being asked for, since the engine would let it pass.
//!
//! With *n* nodes, a budget of *l* units is passed by at most *(n − 1) × min(l, what a node admits in two intervals)* where
//! pushes are on time: counts are then one interval old at most, and lack what other nodes have admitted in an interval before
//! that. If pushes come late, both grow to two intervals and no further: then requests ask.
//!
//! **What does not hold.** While the engine does not answer, `on_engine_error: local` lets each node count for itself, and what
//! nodes admit is pushed once the engine is back. What an engine did whose answer was lost counts twice, and so may what a worker had
//! sent that died. Units that were admitted in one span of a window and are pushed in the next count in the next. Records that lie in
//! several nodes of a Redis Cluster cannot be charged in one call, and Webdis does not follow a cluster's redirections: the engine
//! is one primary.
//!
//! A question that arrives after its sender has ceased to wait changes nothing there: it carries the engine's time until when it
//! counts.

mod ask;
mod bill;
mod breaker;
mod in_use;
mod protocol;
mod sync;

pub use ask::{Answered, Ask, Begun, Claims};
pub use bill::Bill;
pub use protocol::EngineError;
pub use sync::{Push, Pushed};

use super::claim::Claim;
use super::window::Counts;
use crate::config::{Engine, Window};
use crate::host::{SharedData, UnixMillis};
use crate::http::{Call, Reply};
use breaker::CircuitBreaker;
use in_use::InUse;
use protocol::{Asking, Tally};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// What a worker knows of an engine.
pub struct EngineState {
    engine: Engine,
    breaker: CircuitBreaker,
    /// How far the engine's clock is ahead of the node's, in milliseconds; not known before its first answer.
    ahead: Cell<Option<i64>>,
    in_use: RefCell<InUse>,
}

/// The engines that the routes of a worker know, each once.
#[derive(Default)]
pub struct Engines(RefCell<BTreeMap<Engine, Rc<EngineState>>>);

impl Engines {
    /// The state of an engine.
    pub fn get(&self, engine: &Engine) -> Rc<EngineState> {
        if let Some(known) = self.0.borrow().get(engine) {
            return known.clone();
        }
        let (breaker, ahead) = Default::default();
        let in_use = RefCell::new(InUse::new(engine.interval));
        let state = Rc::new(EngineState { engine: engine.clone(), breaker, ahead, in_use });
        self.0.borrow_mut().insert(engine.clone(), state.clone());
        state
    }

    /// All of them.
    pub fn all(&self) -> Vec<Rc<EngineState>> {
        self.0.borrow().values().cloned().collect()
    }
}

/// What the engine said of a bill.
struct Told {
    tally: Tally,
    /// The counts of each line.
    counts: Vec<Vec<(Window, Counts)>>,
}

/// What an answer leads to.
enum Heard {
    /// Another question.
    Ask(Asking),
    /// It is over.
    Done(Result<Told, EngineError>),
}

impl EngineState {
    /// Its configuration.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The engine's time, by which its counts go on every node. Until it is known, the node's.
    pub fn time(&self, now: UnixMillis) -> UnixMillis {
        UnixMillis(now.0.saturating_add_signed(self.ahead.get().unwrap_or(0)))
    }

    /// How long units stay in flight at least before they count as lost. A question takes up to four calls: run, load, run again, and
    /// once more where it was late. Kong counts the time-out of each for connecting, sending and reading by itself, and a push makes
    /// each of its calls at another tick, which is an interval later at most. Ten seconds at least, for a worker makes other
    /// calls in between.
    fn lost_after(&self) -> Duration {
        ((self.engine.timeout * 3 + self.engine.interval) * 4).max(Duration::from_secs(10))
    }

    fn call(&self, asking: &Asking, now: UnixMillis) -> Call {
        let deadline = self.ahead.get().map(|_| self.time(now).after(self.engine.timeout));
        asking.call(&self.engine, deadline)
    }

    /// Takes an answer, `None` where none came, and learns from it.
    fn hear(&self, bill: &Bill, asking: Asking, now: UnixMillis, reply: Option<&Reply>) -> Heard {
        let tally = match asking.answered(reply) {
            protocol::Answered::Ask(asking) => return Heard::Ask(asking),
            protocol::Answered::Late(asking, time) => {
                self.learn(time, now);
                return Heard::Ask(asking);
            }
            protocol::Answered::Done(tally) => tally,
        };
        let told = tally.and_then(|tally| {
            let counts = tally.counts(&bill.lines).ok_or(EngineError::Unusable)?;
            Ok(Told { tally, counts })
        });
        match &told {
            Ok(told) => {
                self.breaker.succeeded();
                self.learn(told.tally.now, now);
            }
            Err(_) => self.breaker.failed(self.engine.breaker, now),
        }
        Heard::Done(told)
    }

    fn learn(&self, time: UnixMillis, now: UnixMillis) {
        let ahead = i64::try_from(time.0).unwrap_or(i64::MAX) - i64::try_from(now.0).unwrap_or(i64::MAX);
        self.ahead.set(Some(ahead));
    }

    /// Puts what the engine said into the node's records. One that cannot be written keeps the units in flight until they count
    /// as lost. Returns whether any of them has a debt.
    fn take_over(&self, bill: &Bill, claims: &[Claim], told: &Told, store: &dyn SharedData) -> bool {
        let time = told.tally.now;
        let accounts = bill.accounts(store, time);
        accounts.iter().zip(claims).zip(&told.counts).fold(false, |has_debt, ((account, claim), counts)| {
            account.change(|record| record.told(claim, counts, time)).is_some_and(|record| record.owed > 0) || has_debt
        })
    }
}

/// How far two times are apart: clocks may be set back.
fn apart(one: UnixMillis, other: UnixMillis) -> Duration {
    one.since(other).max(other.since(one))
}

#[cfg(test)]
mod tests;
