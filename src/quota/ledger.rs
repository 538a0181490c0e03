//! The record of one policy and one subject: the counts of all its windows.
//!
//! Its size depends on the number of windows alone, so that it is always written in place.

use super::window::Counts;
use crate::config::Window;
use crate::host::UnixMillis;
use std::time::Duration;

/// Length in seconds (4 bytes), span (8), previous (4), current (4).
const ENTRY: usize = 20;

/// The windows in force and their counts, in the policy's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ledger(pub Vec<(Window, Counts)>);

impl Ledger {
    /// The ledger at `now`, from a record, which may be empty. Counts are found by the length of their window: a policy whose
    /// limits change keeps what was counted, and a new window begins at zero.
    pub(super) fn read(record: &[u8], windows: &[Window], now: UnixMillis) -> Self {
        let stored: Vec<_> = record.chunks_exact(ENTRY).filter_map(entry).collect();
        let counts = |window: &Window| {
            let found = stored.iter().find(|(length, _)| *length == window.length);
            found.map(|(_, counts)| *counts).unwrap_or_default().at(*window, now)
        };
        Self(windows.iter().map(|window| (*window, counts(window))).collect())
    }

    /// The record.
    pub(super) fn write(&self) -> Vec<u8> {
        let mut record = Vec::with_capacity(self.0.len() * ENTRY);
        for (window, counts) in &self.0 {
            record.extend_from_slice(&u32::try_from(window.length.as_secs()).unwrap_or(u32::MAX).to_be_bytes());
            record.extend_from_slice(&counts.span.to_be_bytes());
            record.extend_from_slice(&counts.previous.to_be_bytes());
            record.extend_from_slice(&counts.current.to_be_bytes());
        }
        record
    }

    /// Whether every window has room for `cost`.
    pub(super) fn fits(&self, now: UnixMillis, cost: u32) -> bool {
        self.0.iter().all(|(window, counts)| counts.fits(*window, now, cost))
    }

    /// The ledger with every window's counts changed.
    pub(super) fn map(&self, change: impl Fn(usize, Counts) -> Counts) -> Self {
        Self(self.0.iter().enumerate().map(|(index, (window, counts))| (*window, change(index, *counts))).collect())
    }
}

fn entry(bytes: &[u8]) -> Option<(Duration, Counts)> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (span, rest) = rest.split_first_chunk()?;
    let (previous, rest) = rest.split_first_chunk()?;
    let (current, _) = rest.split_first_chunk()?;
    let counts = Counts {
        span: u64::from_be_bytes(*span),
        previous: u32::from_be_bytes(*previous),
        current: u32::from_be_bytes(*current),
    };
    Some((Duration::from_secs(u64::from(u32::from_be_bytes(*length))), counts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_survive_a_change_of_limits_and_new_windows_begin_at_zero() {
        let window = |limit, seconds| Window { limit, length: Duration::from_secs(seconds) };
        let now = UnixMillis(600_000);
        let old = Ledger::read(&[], &[window(5, 60)], now).map(|_, counts| counts.charged(3));
        let new = Ledger::read(&old.write(), &[window(100, 3600), window(9, 60)], now);
        assert_eq!(new.0[0].1.current, 0);
        assert_eq!(new.0[1].1.current, 3);
        assert_eq!(new.write().len(), 2 * ENTRY);
    }

    #[test]
    fn a_record_that_makes_no_sense_counts_as_empty() {
        let window = Window { limit: 5, length: Duration::from_secs(60) };
        for record in [&b""[..], b"x", &[0xff; 40]] {
            assert_eq!(Ledger::read(record, &[window], UnixMillis(600_000)).0[0].1.current, 0);
        }
    }
}
