//! Beside requests: what a node has admitted is told to the engine, and what others have is taken back.

use super::EngineState;
use super::bill::{Bill, Line};
use super::protocol::{Answered, Asking, EngineError, Mode};
use crate::host::{SharedData, UnixMillis};
use crate::http::{Call, Reply};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// Most records that a worker keeps in step; others are asked for by the requests that need them.
const MAX_IN_USE: usize = 10_000;
/// Most records in one call, for the length of its URL.
const MAX_LINES: usize = 20;
/// How long after its last use a record is kept in step; longer while the engine does not know what was admitted.
const IDLE: Duration = Duration::from_secs(30);

/// A record that requests have used a moment ago.
pub(super) struct InUse {
    zone: String,
    line: Line,
    used: UnixMillis,
    /// Up to when this worker has told the engine of its use.
    told: UnixMillis,
}

/// What one worker tells and asks for the node: the records are its own until the answer has come.
pub struct Push {
    state: Rc<EngineState>,
    bill: Bill,
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
    /// Notes that a bill's records are in use.
    pub(super) fn note(&self, bill: &Bill, now: UnixMillis) {
        let mut in_use = self.in_use.borrow_mut();
        for line in &bill.lines {
            if let Some(known) = in_use.get_mut(&line.key) {
                known.used = now;
                if known.line.windows != line.windows {
                    known.line.windows.clone_from(&line.windows);
                }
            } else if in_use.len() < MAX_IN_USE {
                let (zone, line) = (bill.zone.clone(), line.clone());
                in_use.insert(line.key.clone(), InUse { zone, line, used: now, told: UnixMillis(0) });
            }
        }
    }

    /// Whether a record may be due.
    pub fn is_due(&self, _: UnixMillis) -> bool {
        !self.in_use.borrow().is_empty()
    }

    /// The calls that this worker should make now. A record is claimed by one worker of the node at a time. An engine that
    /// failed is tried with one record.
    pub fn pushes(self: &Rc<Self>, store: &dyn SharedData, now: UnixMillis) -> Vec<Push> {
        let mut in_use = self.in_use.borrow_mut();
        let idle = IDLE.max(self.engine.interval * 4);
        in_use.retain(|_, record| record.told <= record.used || now.since(record.used) <= idle);
        let most = if self.breaker.is_open(self.engine.breaker) { 1 } else { MAX_IN_USE };
        if in_use.is_empty() || !self.breaker.admits(self.engine.breaker, now) {
            return Vec::new();
        }
        let time = self.time(now);
        let mut by_tag: BTreeMap<(&str, &str), Vec<Line>> = BTreeMap::new();
        let claims = in_use.values().filter_map(|record| {
            let claimed = claim(record, store, time, self.engine.interval)?;
            Some(((record.zone.as_str(), record.line.tag()), claimed))
        });
        for (tag, claimed) in claims.take(most) {
            by_tag.entry(tag).or_default().push(claimed);
        }
        let batches = by_tag.into_iter().flat_map(|((zone, _), claimed)| {
            claimed.chunks(MAX_LINES).map(|lines| (zone.to_owned(), lines.to_vec())).collect::<Vec<_>>()
        });
        let push = |(zone, lines): (String, Vec<Line>)| {
            let bill = Bill { zone, lines };
            let asking = self.asking(Mode::Add, &bill, now);
            Push { state: self.clone(), bill, claimed: now, asking }
        };
        batches.map(push).collect()
    }
}

/// Takes a record's debt upon this worker, and with it the duty to ask for its counts; `None` where another did within the
/// interval, or where it cannot be written. What is owed stays in the node's own counts, which are no younger for being asked for.
fn claim(record: &InUse, store: &dyn SharedData, now: UnixMillis, interval: Duration) -> Option<Line> {
    let owed = std::cell::Cell::new(0);
    // Ticks are not to the millisecond: nine tenths of an interval count as one. The engine's clock may have been set back.
    let is_due = |asked: UnixMillis| now.since(asked).max(asked.since(now)) >= interval * 9 / 10;
    record.line.account(store, &record.zone, now).change(|ledger| {
        owed.set(ledger.owed);
        is_due(ledger.asked).then(|| ledger.clone().claimed(now))
    })?;
    Some(Line { units: owed.get(), ..record.line.clone() })
}

impl Push {
    /// The call.
    pub fn call(&self) -> Call {
        self.asking.call(&self.state.engine)
    }

    /// Takes the answer, `None` where none came.
    pub fn answered(self, store: &dyn SharedData, now: UnixMillis, reply: Option<&Reply>) -> Pushed {
        let Self { state, bill, claimed, asking } = self;
        let tally = match asking.answered(reply) {
            Answered::Ask(asking) => return Pushed::Next(Self { state, bill, claimed, asking }),
            Answered::Done(tally) => tally,
        };
        let told = tally.and_then(|tally| Ok((tally.counts(&bill.lines).ok_or(EngineError::Unusable)?, tally.now)));
        state.experienced(told.as_ref().map(|(_, time)| *time).map_err(|error| *error), now);
        match told {
            Ok((counts, time)) => {
                let mut in_use = state.in_use.borrow_mut();
                for (line, counts) in bill.lines.iter().zip(&counts) {
                    line.account(store, &bill.zone, time).change(|ledger| Some(ledger.adopt(counts, time)));
                    if let Some(record) = in_use.get_mut(&line.key) {
                        record.told = claimed;
                    }
                }
                Pushed::Done(Ok(()))
            }
            Err(error) => {
                // The debt goes back.
                for line in &bill.lines {
                    let account = line.account(store, &bill.zone, state.time(now));
                    account.change(|ledger| Some(ledger.clone().owing(line.units)));
                }
                Pushed::Done(Err(error))
            }
        }
    }

    /// The engine, for the log.
    pub fn upstream(&self) -> &str {
        &self.state.engine.endpoint.upstream
    }
}
