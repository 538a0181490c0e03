//! Quotas that the nodes of a cluster count together, in Redis behind Webdis.
//!
//! **Exact**: each request is one call of a script that charges all its records or none.
//!
//! **Periodic**: a request is charged to the node's own records, which hold what the engine last said and what was admitted
//! since. Once an interval each record in use is pushed by one worker of the node: what the node owes is added in the engine, and
//! the engine's counts come back. A record that the node has not heard of for two intervals is not gone by; the request asks,
//! as if it were exact.
//!
//! **How far periodic may overshoot.** A node admits by counts that are at most two intervals old, and lacks only what *other* nodes
//! admitted since. So a budget of *l* units is passed by no more than *(n − 1) × min(l, what a node admits in two intervals)*.
//!
//! A question that arrives after who asked has ceased to wait changes nothing there: it carries the engine's time until when it
//! counts. What an engine did whose answer was lost counts twice.
//!
//! While the engine fails, what nodes admit by themselves (`on_engine_error: local`) is owed, and pushed once it is back.

mod bill;
mod breaker;
mod protocol;
mod sync;

pub use bill::Bill;
pub use protocol::{Answered, Asking, EngineError, Tally};
pub use sync::{Push, Pushed};

use super::Charge;
use crate::config::Engine;
use crate::host::{SharedData, UnixMillis};
use breaker::Breaker;
use protocol::Mode;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use sync::InUse;

/// What a worker knows of an engine.
pub struct EngineState {
    engine: Engine,
    breaker: Breaker,
    /// How far the engine's clock is ahead of the node's, in milliseconds; not known before its first answer.
    ahead: Cell<Option<i64>>,
    in_use: RefCell<BTreeMap<String, InUse>>,
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
        let (breaker, ahead, in_use) = Default::default();
        let state = Rc::new(EngineState { engine: engine.clone(), breaker, ahead, in_use });
        self.0.borrow_mut().insert(engine.clone(), state.clone());
        state
    }

    /// All of them.
    pub fn all(&self) -> Vec<Rc<EngineState>> {
        self.0.borrow().values().cloned().collect()
    }
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

    /// Asks to charge a bill, unless the engine is left alone.
    pub fn ask(&self, bill: &Bill, now: UnixMillis) -> Option<Asking> {
        self.breaker.admits(self.engine.breaker, now).then(|| self.asking(Mode::Try, bill, now))
    }

    fn asking(&self, mode: Mode, bill: &Bill, now: UnixMillis) -> Asking {
        let time = self.ahead.get().map(|_| self.time(now));
        Asking::new(mode, &bill.lines, time, self.engine.timeout)
    }

    /// Charges the node's own records if what they hold of the engine's counts is young enough.
    pub fn charge_known(&self, bill: &Bill, store: &dyn SharedData, now: UnixMillis) -> Option<Charge> {
        let charge = bill.charge_known(store, self.time(now), self.engine.interval * 2)?;
        self.note(bill, now);
        Some(charge)
    }

    /// Charges the node's own records, whatever they hold; the engine is told later.
    pub fn charge_alone(&self, bill: &Bill, store: &dyn SharedData, now: UnixMillis) -> Charge {
        self.note(bill, now);
        bill.charge(store, self.time(now))
    }

    /// Takes what came of a question.
    ///
    /// # Errors
    /// [`EngineError`] where nothing came of it.
    pub fn told(&self, bill: &Bill, tally: Result<Tally, EngineError>, now: UnixMillis) -> Result<Told, EngineError> {
        let told = tally.and_then(|tally| {
            let counts = tally.counts(&bill.lines).ok_or(EngineError::Unusable)?;
            Ok(Told { charge: tally.charge(&bill.lines, &counts), counts, now: tally.now })
        });
        self.experienced(told.as_ref().map(|told| told.now).map_err(|error| *error), now);
        told
    }

    /// Puts what the engine said into the node's records, for periodic synchronisation.
    pub fn adopt(&self, bill: &Bill, told: &Told, store: &dyn SharedData, now: UnixMillis) {
        for (line, counts) in bill.lines.iter().zip(&told.counts) {
            line.account(store, &bill.zone, told.now).change(|ledger| Some(ledger.adopt(counts, told.now)));
        }
        self.note(bill, now);
    }

    /// Learns from an answer, or from none.
    fn experienced(&self, answer: Result<UnixMillis, EngineError>, now: UnixMillis) {
        match answer {
            Ok(engines) => {
                self.breaker.succeeded();
                let ahead = i64::try_from(engines.0).unwrap_or(i64::MAX) - i64::try_from(now.0).unwrap_or(i64::MAX);
                self.ahead.set(Some(ahead));
            }
            Err(_) => self.breaker.failed(self.engine.breaker, now),
        }
    }
}

/// What the engine said of a bill.
#[derive(Debug, Clone)]
pub struct Told {
    /// What it made of it.
    pub charge: Charge,
    counts: Vec<Vec<(crate::config::Window, super::window::Counts)>>,
    now: UnixMillis,
}

#[cfg(test)]
mod tests;
