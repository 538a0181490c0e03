//! Pushes, beside requests: what a node has admitted is added in the engine, and the engine's counts are taken back.
//!
//! A worker makes one push at a time, of at most `MAX_LINES` records. Before it is sent, each record's debt is moved to what it
//! has in flight, by compare-and-swap, so that no other worker pushes the same units. The record's counts stay as they are all
//! the while. What comes of the push:
//!
//! - The engine answers: the units are in its counts, and leave the record's (`Ledger::told`).
//! - The engine does not answer: the units are owed again. If it had counted them, it counts them twice.
//! - The worker dies, or loses the push: after `EngineState::lost_after` the next worker that claims the record's debt takes them
//!   back. Then too they may be counted twice, but are never lost.
//!
//! A debt is told as long as a worker knows of it: the workers that charged the record do. If all of them die, it is told when the
//! record is used again, or is forgotten with the record's windows.

use super::bill::{Bill, BillLine};
use super::in_use::almost;
use super::protocol::{Asking, EngineError, Mode};
use super::{EngineState, Heard, apart};
use crate::host::{SharedData, UnixMillis};
use crate::http::{Call, Reply};
use crate::quota::claim::{Carrier, Claim};
use std::rc::Rc;
use std::time::Duration;

/// Most records in one call, for the length of its URL.
const MAX_LINES: usize = 20;
/// Most records that are looked at for one call.
const MAX_LOOKS: usize = 200;

/// What one worker tells the engine for the node, and asks it.
pub struct Push {
    state: Rc<EngineState>,
    pub(super) bill: Bill,
    claims: Vec<Claim>,
    claimed: UnixMillis,
    asking: Asking,
}

/// How a push goes on.
pub enum Pushed {
    /// Another call.
    Next(Push),
    /// It is over.
    Done(Result<(), EngineError>),
}

impl EngineState {
    /// Whether something may be due to be pushed. Costs next to nothing.
    pub fn is_due(&self, now: UnixMillis) -> bool {
        self.in_use.borrow().is_due(now)
    }

    /// The next push that this worker should make. A worker that waits for the answer before it asks for another has one in flight.
    /// An engine that failed is tried with one record.
    pub fn next_push(self: &Rc<Self>, store: &dyn SharedData, now: UnixMillis) -> Option<Push> {
        if !self.is_due(now) || !self.breaker.admits(self.engine.breaker, now) {
            return None;
        }
        let most = if self.breaker.is_open(self.engine.breaker) { 1 } else { MAX_LINES };
        let (mut lines, mut claims, mut looks) = (Vec::new(), Vec::new(), MAX_LOOKS);
        let mut in_use = self.in_use.borrow_mut();
        while lines.len() < most
            && let Some(key) = in_use.next(now, &mut looks)
            && let Some(line) = in_use.line(&key)
        {
            match self.claim(line, store, now) {
                Some(Ok(claim)) => {
                    lines.push(BillLine { units: claim.units, ..line.clone() });
                    claims.push(claim);
                }
                Some(Err(left)) => in_use.put_off(&key, left, now),
                // It is looked at again after an interval.
                None => {}
            }
        }
        if lines.is_empty() {
            return None;
        }
        let asking = Asking::new(Mode::Add, &lines);
        Some(Push { state: self.clone(), bill: Bill { lines }, claims, claimed: now, asking })
    }

    /// Takes a record's debt upon this worker, and with it the duty to ask for its counts; or tells for how long another has.
    /// `None` where shared data does not take it.
    fn claim(&self, line: &BillLine, store: &dyn SharedData, now: UnixMillis) -> Option<Result<Claim, Duration>> {
        let (time, interval) = (self.time(now), almost(self.engine.interval));
        let claimed = line.account(store, time).try_change(|record| {
            let passed = apart(time, record.asked);
            match interval.checked_sub(passed) {
                Some(left) if !left.is_zero() => Err(left),
                _ => Ok(Claim::push(record.clone(), time, now, self.lost_after())),
            }
        })?;
        Some(claimed.map(|(record, units)| Claim::of(Carrier::Push, record, units)))
    }
}

impl Push {
    /// The call, made at `now`.
    pub fn call(&self, now: UnixMillis) -> Call {
        self.state.call(&self.asking, now)
    }

    /// Takes the answer, `None` where none came.
    pub fn answered(self, store: &dyn SharedData, now: UnixMillis, reply: Option<&Reply>) -> Pushed {
        let Self { state, bill, claims, claimed, asking } = self;
        let heard = match state.hear(&bill, asking, now, reply) {
            Heard::Ask(asking) => return Pushed::Next(Self { state, bill, claims, claimed, asking }),
            Heard::Done(told) => told,
        };
        match &heard {
            Ok(told) => {
                state.take_over(&bill, &claims, told, store);
                let mut in_use = state.in_use.borrow_mut();
                bill.lines.iter().for_each(|line| in_use.told(&line.key, claimed));
            }
            Err(_) => {
                for (account, claim) in bill.accounts(store, state.time(now)).iter().zip(&claims) {
                    account.change(|record| record.not_told(claim));
                }
            }
        }
        Pushed::Done(heard.map(|_| ()))
    }

    /// The engine, for the log.
    pub fn upstream(&self) -> &str {
        &self.state.engine.endpoint.upstream
    }
}
