//! The records that a worker keeps in step with the engine, and when each is to be looked at next.
//!
//! They are looked at in the order in which they are due, so that a tick pays for what is due, and not for all there are.

use super::bill::BillLine;
use crate::host::UnixMillis;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

/// Most records that a worker keeps in step. Requests of other subjects ask the engine themselves.
const KEPT: usize = 10_000;
/// Most records in all, with those that have a debt: what was admitted while the engine was gone is told it in the end. Their
/// memory is some 500 bytes each.
const MOST: usize = 50_000;
/// How long after its last use a record is kept in step; longer while the engine does not know what was admitted.
const IDLE: Duration = Duration::from_secs(30);

/// A record that requests have used a moment ago.
struct InUseRecord {
    line: BillLine,
    used: UnixMillis,
    /// Up to when this worker has told the engine of its use.
    told: UnixMillis,
    due: UnixMillis,
}

/// The records, by their keys.
pub(super) struct InUse {
    interval: Duration,
    records: BTreeMap<Rc<str>, InUseRecord>,
    due: BTreeSet<(UnixMillis, Rc<str>)>,
}

impl InUse {
    pub(super) fn new(interval: Duration) -> Self {
        Self { interval, records: BTreeMap::new(), due: BTreeSet::new() }
    }

    /// Notes that a record is in use. False where there are too many already; there is more room for one that has a debt.
    pub(super) fn note(&mut self, line: &BillLine, has_debt: bool, now: UnixMillis) -> bool {
        if let Some(known) = self.records.get_mut(line.key.as_str()) {
            known.used = now;
            if known.line.windows != line.windows {
                known.line.windows.clone_from(&line.windows);
            }
            return true;
        }
        let has_room = self.records.len() < if has_debt { MOST } else { KEPT };
        if has_room {
            let (key, due) = (Rc::<str>::from(line.key.as_str()), now.after(almost(self.interval)));
            self.due.insert((due, key.clone()));
            self.records.insert(key, InUseRecord { line: line.clone(), used: now, told: UnixMillis(0), due });
        }
        has_room
    }

    /// Whether a record is due.
    pub(super) fn is_due(&self, now: UnixMillis) -> bool {
        self.first_due(now).is_some()
    }

    fn first_due(&self, now: UnixMillis) -> Option<&(UnixMillis, Rc<str>)> {
        let first = self.due.first().filter(|(due, _)| *due <= now);
        // All are due within an interval, unless the clock was set back.
        first.or_else(|| self.due.last().filter(|(due, _)| due.since(now) > self.interval))
    }

    /// The next record that is due, by its key. It is due again after an interval, or when [`Self::put_off`] says. Records that
    /// have not been used for long, and whose use the engine knows of, are forgotten on the way. Each record looked at takes one
    /// of the `looks`.
    pub(super) fn next(&mut self, now: UnixMillis, looks: &mut usize) -> Option<Rc<str>> {
        let idle = IDLE.max(self.interval * 4);
        while let Some(left) = looks.checked_sub(1) {
            *looks = left;
            let (due, key) = self.first_due(now).cloned()?;
            self.due.remove(&(due, key.clone()));
            if self.records.get(&key).is_some_and(|record| record.told <= record.used || now.since(record.used) <= idle)
            {
                self.let_be_due(&key, now.after(almost(self.interval)));
                return Some(key);
            }
            self.records.remove(&key);
        }
        None
    }

    fn let_be_due(&mut self, key: &Rc<str>, due: UnixMillis) {
        if let Some(record) = self.records.get_mut(key) {
            self.due.remove(&(record.due, key.clone()));
            self.due.insert((due, key.clone()));
            record.due = due;
        }
    }

    /// What a record is charged to.
    pub(super) fn line(&self, key: &str) -> Option<&BillLine> {
        self.records.get(key).map(|record| &record.line)
    }

    /// Lets a record be due in `left`, and no later than in an interval.
    pub(super) fn put_off(&mut self, key: &Rc<str>, left: Duration, now: UnixMillis) {
        self.let_be_due(key, now.after(left.clamp(Duration::from_millis(1), almost(self.interval))));
    }

    /// The engine knows of a record's use up to `told`.
    pub(super) fn told(&mut self, key: &str, told: UnixMillis) {
        if let Some(record) = self.records.get_mut(key) {
            record.told = told;
        }
    }
}

/// Ticks are not to the millisecond: nine tenths of an interval count as one.
pub(super) fn almost(interval: Duration) -> Duration {
    interval * 9 / 10
}
