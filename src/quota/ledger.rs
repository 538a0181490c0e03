//! The record of one policy and one subject: the counts of all its windows.
//!
//! ```text
//! version, 1 byte │ generation, 8 bytes │ owed, 4 │ synced, 8 │ asked, 8 │ in flight, 28 │ a window each: length in seconds, 4 │ span, 8 │ previous, 4 │ current, 4
//! ```
//!
//! A record of version 3, which has nothing in flight, is read too: a node that changes to this version forgets nothing.
//!
//! Its size depends on the number of windows alone, so that it is written in place. Two routes to one entity may give a
//! policy of one name different windows, and a configuration may change while requests run: windows are told by their
//! length, and a window that counts for somebody else is kept as it is.

use super::in_flight::InFlight;
use super::window::Counts;
use crate::config::Window;
use crate::host::{UnixMillis, random};
use std::time::Duration;

/// Version of the record.
const VERSION: u8 = 4;
/// The version before, whose header ends where units in flight begin.
const WITHOUT_FLIGHT: u8 = 3;
/// Version (1 byte), generation (8), owed (4), synced (8), asked (8), in flight.
const HEADER: usize = 29 + InFlight::SIZE;
/// Length in seconds (4 bytes), span (8), previous (4), current (4).
const ENTRY: usize = 20;
/// Windows of others that are kept.
const MAX_OTHERS: usize = 8;

/// The windows in force and their counts, in the policy's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ledger {
    /// Drawn when the record is made, and kept for as long as it loses nothing: what was charged to one generation is never
    /// taken from another, which holds the charges of others. Zero where none could be drawn.
    pub generation: u64,
    /// Units charged here that the cluster's engine has not been told of.
    pub owed: u32,
    /// Units charged here that are on their way to it.
    pub in_flight: InFlight,
    /// The engine's time of the counts that it said last; the epoch where it never did.
    pub synced: UnixMillis,
    /// When a worker last took it upon itself to push the record, whatever came of it.
    pub asked: UnixMillis,
    /// The windows in force.
    pub windows: Vec<(Window, Counts)>,
    /// Other windows that still count for somebody.
    pub(super) others: Vec<(Window, Counts)>,
    /// Whether counts were moved that a wrong clock had put ahead.
    pub is_moved: bool,
}

impl Ledger {
    /// A ledger that begins at `now`.
    pub(super) fn begin(windows: &[Window], now: UnixMillis) -> Self {
        let fresh = |window: &Window| (*window, Counts::default().at(*window, now));
        let windows = windows.iter().map(fresh).collect();
        let header = LedgerHeader { generation: generation(), ..LedgerHeader::default() };
        Self::of(header, windows, Vec::new(), false)
    }

    fn of(header: LedgerHeader, windows: Vec<(Window, Counts)>, others: Vec<(Window, Counts)>, is_moved: bool) -> Self {
        let LedgerHeader { generation, owed, synced, asked, in_flight } = header;
        Self { generation, owed, in_flight, synced, asked, windows, others, is_moved }
    }

    /// The ledger at `now`, from its record; `None` where the record is of another version. A policy whose limits change
    /// keeps what was counted, and a new window begins at zero.
    pub(super) fn read(record: &[u8], windows: &[Window], now: UnixMillis) -> Option<Self> {
        let (header, mut stored) = entries(record)?;
        let is_moved = stored.iter().any(|(window, counts)| counts.is_ahead(*window, now));
        for (window, counts) in &mut stored {
            *counts = counts.at(*window, now);
        }
        let counts = |window: &Window| {
            let found = stored.iter().find(|(other, _)| other.length == window.length);
            (*window, found.map_or_else(|| Counts::default().at(*window, now), |(_, counts)| *counts))
        };
        let is_other = |window: &Window| windows.iter().all(|other| other.length != window.length);
        let windows_in_force = windows.iter().map(counts).collect();
        let mut others = stored;
        others.retain(|(window, counts)| is_other(window) && !counts.is_idle());
        let is_whole = others.len() <= MAX_OTHERS;
        others.truncate(MAX_OTHERS);
        let generation = if is_whole { header.generation } else { generation() };
        Some(Self::of(LedgerHeader { generation, ..header }, windows_in_force, others, is_moved))
    }

    /// Whether nothing in a record counts any more at `now`.
    pub(super) fn is_idle(record: &[u8], now: UnixMillis) -> bool {
        let is_idle = |(window, counts): &(Window, Counts)| counts.at(*window, now).is_idle();
        entries(record).is_some_and(|(_, stored)| stored.iter().all(is_idle))
    }

    /// Size of its record in bytes.
    pub(super) fn size(&self) -> usize {
        HEADER + (self.windows.len() + self.others.len()) * ENTRY
    }

    /// Writes the record behind what is there.
    pub(super) fn write(&self, record: &mut Vec<u8>) {
        record.push(VERSION);
        record.extend_from_slice(&self.generation.to_be_bytes());
        record.extend_from_slice(&self.owed.to_be_bytes());
        record.extend_from_slice(&self.synced.0.to_be_bytes());
        record.extend_from_slice(&self.asked.0.to_be_bytes());
        self.in_flight.write(record);
        for (window, counts) in self.windows.iter().chain(&self.others) {
            record.extend_from_slice(&u32::try_from(window.length.as_secs()).unwrap_or(u32::MAX).to_be_bytes());
            record.extend_from_slice(&counts.span.to_be_bytes());
            record.extend_from_slice(&counts.previous.to_be_bytes());
            record.extend_from_slice(&counts.current.to_be_bytes());
        }
    }

    /// Whether every window has room for `cost`. What costs nothing always has.
    pub(super) fn fits(&self, now: UnixMillis, cost: u32) -> bool {
        cost == 0 || self.windows.iter().all(|(window, counts)| counts.fits(*window, now, cost))
    }

    /// Whether no window is fuller than it may be.
    pub(super) fn is_within(&self, now: UnixMillis) -> bool {
        self.windows.iter().all(|(window, counts)| counts.fits(*window, now, 0))
    }

    /// The ledger with `cost` charged to every window.
    pub(super) fn charged(mut self, cost: u32) -> Self {
        for (_, counts) in &mut self.windows {
            *counts = counts.charged(cost);
        }
        self
    }

    /// The same, with a debt to the cluster's engine.
    pub(super) fn owing(self, units: u32) -> Self {
        Self { owed: self.owed.saturating_add(units), ..self }
    }

    /// The same with `units` less of debt. What the engine was told already it keeps: it then counts too much rather than
    /// too little.
    pub(super) fn forgiven(self, units: u32) -> Self {
        Self { owed: self.owed.saturating_sub(units), ..self }
    }

    /// The ledger with `cost`, charged in `charged`, given back; `None` where this is not the record that was charged.
    pub(super) fn refunded(&self, charged: &Self, cost: u32) -> Option<Self> {
        if self.generation == 0 || self.generation != charged.generation {
            return None;
        }
        let pairs = self.windows.iter().zip(&charged.windows);
        let windows = pairs.map(|((window, counts), (_, then))| (*window, counts.refunded(then.span, cost))).collect();
        Some(Self { windows, others: self.others.clone(), ..*self })
    }
}

/// A number that no other record has.
fn generation() -> u64 {
    random().map_or(0, u64::from_be_bytes)
}

#[derive(Default)]
struct LedgerHeader {
    generation: u64,
    owed: u32,
    synced: UnixMillis,
    asked: UnixMillis,
    in_flight: InFlight,
}

/// The head and the counts of a record.
fn entries(record: &[u8]) -> Option<(LedgerHeader, Vec<(Window, Counts)>)> {
    let (version, rest) = record.split_first()?;
    let (generation, rest) = rest.split_first_chunk()?;
    let (owed, rest) = rest.split_first_chunk()?;
    let (synced, rest) = rest.split_first_chunk()?;
    let (asked, rest) = rest.split_first_chunk()?;
    let (in_flight, rest) = match *version {
        VERSION => rest.split_first_chunk().and_then(|(bytes, rest)| Some((InFlight::read(bytes)?, rest)))?,
        WITHOUT_FLIGHT => (InFlight::default(), rest),
        _ => return None,
    };
    let header = LedgerHeader {
        generation: u64::from_be_bytes(*generation),
        owed: u32::from_be_bytes(*owed),
        synced: UnixMillis(u64::from_be_bytes(*synced)),
        asked: UnixMillis(u64::from_be_bytes(*asked)),
        in_flight,
    };
    let entries: Option<_> = rest.chunks(ENTRY).map(entry).collect();
    Some((header, entries?))
}

/// A window's length and counts; the limit is the configuration's to say.
fn entry(bytes: &[u8]) -> Option<(Window, Counts)> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (span, rest) = rest.split_first_chunk()?;
    let (previous, rest) = rest.split_first_chunk()?;
    let (current, _) = rest.split_first_chunk()?;
    let length = Duration::from_secs(u64::from(u32::from_be_bytes(*length)));
    let counts = Counts {
        span: u64::from_be_bytes(*span),
        previous: u32::from_be_bytes(*previous),
        current: u32::from_be_bytes(*current),
    };
    Some((Window { limit: 0, length }, counts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quota::claim::Claim;
    use proptest::prelude::*;

    const NOW: UnixMillis = UnixMillis(600_000_000);

    fn window(limit: u32, seconds: u64) -> Window {
        Window { limit, length: Duration::from_secs(seconds) }
    }

    fn record(ledger: &Ledger) -> Vec<u8> {
        let mut record = Vec::new();
        ledger.write(&mut record);
        assert_eq!(record.len(), ledger.size());
        record
    }

    #[test]
    fn counts_survive_a_change_of_limits_and_new_windows_begin_at_zero() {
        let old = Ledger::begin(&[window(5, 60)], NOW).charged(3);
        let new = Ledger::read(&record(&old), &[window(100, 3600), window(9, 60)], NOW).unwrap();
        assert_eq!((new.windows[0].1.current, new.windows[1].1.current), (0, 3));
        assert_eq!((new.generation, record(&new).len()), (old.generation, HEADER + 2 * ENTRY));
    }

    #[test]
    fn a_window_of_another_route_is_kept_while_it_counts() {
        let both = Ledger::begin(&[window(5, 60), window(9, 3600)], NOW).charged(3);
        let short = Ledger::read(&record(&both), &[window(5, 60)], NOW).unwrap().charged(1);
        let both = Ledger::read(&record(&short), &[window(5, 60), window(9, 3600)], NOW).unwrap();
        assert_eq!((both.windows[0].1.current, both.windows[1].1.current), (4, 3));
        let later = NOW.after(Duration::from_secs(7200));
        let short = Ledger::read(&record(&short), &[window(5, 60)], later).unwrap();
        assert_eq!(record(&short).len(), HEADER + ENTRY, "what no longer counts goes");
    }

    #[test]
    fn only_so_many_windows_of_others_are_kept_and_then_nothing_is_given_back() {
        let many: Vec<_> = (1..=12).map(|minutes| window(9, minutes * 60)).collect();
        let charged = Ledger::begin(&many, NOW).charged(1);
        let own = [window(9, 7)];
        let read = Ledger::read(&record(&charged), &own, NOW).unwrap();
        assert_eq!(record(&read).len(), HEADER + (1 + MAX_OTHERS) * ENTRY);
        assert_eq!(read.refunded(&charged, 1), None);
    }

    #[test]
    fn a_refund_is_for_the_record_that_was_charged() {
        let charged = Ledger::begin(&[window(5, 60)], NOW).charged(2);
        let read = Ledger::read(&record(&charged.clone().charged(1)), &[window(5, 60)], NOW).unwrap();
        assert_eq!(read.refunded(&charged, 2).unwrap().windows[0].1.current, 1);
        let made_again = Ledger::begin(&[window(5, 60)], NOW).charged(1);
        assert_eq!(made_again.refunded(&charged, 2), None);
    }

    #[test]
    fn a_record_is_idle_when_all_its_windows_are() {
        let record = record(&Ledger::begin(&[window(5, 60), window(5, 600)], NOW).charged(1));
        let idle = |seconds| Ledger::is_idle(&record, NOW.after(Duration::from_secs(seconds)));
        assert_eq!((idle(0), idle(600), idle(1199), idle(1200)), (false, false, false, true));
        assert!(!Ledger::is_idle(b"what is this", NOW), "what is not understood is in use");
    }

    #[test]
    fn a_record_of_the_version_before_is_read_with_all_that_it_holds() {
        let ledger = Ledger::begin(&[window(5, 60)], NOW).charged(3).owing(2);
        let mut bytes = record(&ledger);
        bytes[0] = WITHOUT_FLIGHT;
        bytes.drain(HEADER - InFlight::SIZE..HEADER);
        assert_eq!(Ledger::read(&bytes, &[window(5, 60)], NOW), Some(ledger));
    }

    proptest! {
        #[test]
        fn a_record_reads_back(lengths in proptest::collection::btree_set(1..2_678_400u64, 1..9), cost in 0..1000u32) {
            let windows: Vec<_> = lengths.into_iter().map(|seconds| window(7, seconds)).collect();
            let ledger = Claim::ask(Ledger::begin(&windows, NOW).owing(cost), cost, NOW, Duration::from_secs(9));
            prop_assert_eq!(Ledger::read(&record(&ledger), &windows, NOW), Some(ledger));
        }

        #[test]
        fn any_bytes_can_be_read(mut bytes: Vec<u8>, now: u64) {
            let _ = Ledger::read(&bytes, &[window(5, 60)], UnixMillis(now));
            if let Some(version) = bytes.first_mut() {
                *version = VERSION;
            }
            let read = Ledger::read(&bytes, &[window(5, 60)], UnixMillis(now));
            let entries = bytes.len().checked_sub(HEADER);
            let is_whole = entries.is_some_and(|rest| rest.is_multiple_of(ENTRY));
            prop_assert_eq!(read.is_some(), is_whole);
            if let Some(ledger) = read {
                let _ = (ledger.fits(UnixMillis(now), 1), record(&ledger.charged(u32::MAX)));
            }
        }
    }
}
