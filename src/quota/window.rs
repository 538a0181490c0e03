//! The arithmetic of a sliding window, without a clock or a store.
//!
//! A window of length *L* keeps two counts, of the aligned span at hand and of the one before. What counts as used is the
//! first plus the share of the second that a window ending now still overlaps, rounded up:
//!
//! ```text
//! used(now) = current + ⌈previous × (L − elapsed) / L⌉        admit iff used(now) + cost ≤ limit
//! ```
//!
//! So no aligned span ever admits more than the limit *l*: `used` is never less than `current`. And there is no second burst
//! at the seam. Take any stretch of *d* ≤ *L* that crosses one; what its part before the seam admitted is at most `previous`,
//! and the last unit admitted *e* ≤ *d* after the seam found `current ≤ l − ⌈previous × (L − e) / L⌉`, so that both together
//! are at most
//!
//! ```text
//! l + ⌊l × d / L⌋
//! ```
//!
//! which is what a bucket of *l* that refills evenly would admit.
//!
//! Clocks step. Counts that lie one span ahead stay as they are: workers read their clocks at slightly different moments. Counts
//! that lie further ahead come from a clock that was wrong; they move to the span at hand with all that was used counted as
//! used in it, so that nothing is given back, and nobody waits until the wrong time has come.

use crate::config::Window;
use crate::host::{UnixMillis, millis, product};
use std::cmp::Ordering;

/// The counts of one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    /// Number of the aligned span at hand since the epoch.
    pub span: u64,
    /// Units in the span before.
    pub previous: u32,
    /// Units in this span.
    pub current: u32,
}

impl Counts {
    /// The counts as they stand at `now`.
    pub(super) fn at(self, window: Window, now: UnixMillis) -> Self {
        let span = span(window, now);
        if self.span.saturating_sub(span) > 1 {
            return Self { span, previous: 0, current: self.previous.saturating_add(self.current) };
        }
        self.moved_to(span)
    }

    /// Whether the counts come from a clock that was wrong. Where they are moved, they have to be written even if nothing is
    /// charged, or they would be found ahead, and moved, again and again.
    pub(super) fn is_ahead(self, window: Window, now: UnixMillis) -> bool {
        self.span.saturating_sub(span(window, now)) > 1
    }

    /// Whether nothing counts any more, for counts that stand at *now*.
    pub(super) fn is_idle(self) -> bool {
        self.previous == 0 && self.current == 0
    }

    /// Units used, for counts that stand at `now`.
    pub(super) fn used(self, window: Window, now: UnixMillis) -> u64 {
        let length = length(window);
        let left = length - self.elapsed(length, now);
        u64::from(self.current).saturating_add(overlap(self.previous, left, length))
    }

    /// Whether `cost` fits, for counts that stand at `now`.
    pub(super) fn fits(self, window: Window, now: UnixMillis, cost: u32) -> bool {
        has_room(window, self.used(window, now), cost)
    }

    /// The counts with `cost` charged.
    pub(super) fn charged(self, cost: u32) -> Self {
        Self { current: self.current.saturating_add(cost), ..self }
    }

    /// The counts with `cost`, charged in `span`, given back; nothing where that span no longer counts.
    pub(super) fn refunded(self, span: u64, cost: u32) -> Self {
        match self.span.checked_sub(span) {
            Some(0) => Self { current: self.current.saturating_sub(cost), ..self },
            Some(1) => Self { previous: self.previous.saturating_sub(cost), ..self },
            _ => self,
        }
    }

    /// The counts moved on to a span that the record has reached; counts of that span or a later one stay as they are.
    pub(super) fn moved_to(self, span: u64) -> Self {
        match span.checked_sub(self.span) {
            None | Some(0) => self,
            Some(1) => Self { span, previous: self.current, current: 0 },
            Some(_) => Self { span, previous: 0, current: 0 },
        }
    }

    /// The larger of two counts; of counts of two spans, the later.
    pub(super) fn larger(self, other: Self) -> Self {
        match self.span.cmp(&other.span) {
            Ordering::Less => other,
            Ordering::Greater => self,
            Ordering::Equal => {
                Self { previous: self.previous.max(other.previous), current: self.current.max(other.current), ..self }
            }
        }
    }

    /// Milliseconds from `now` until `cost` fits if nothing more is charged; the window's length where it never does.
    pub(super) fn wait(self, window: Window, now: UnixMillis, cost: u32) -> u64 {
        if self.fits(window, now, cost) {
            return 0;
        }
        let length = length(window);
        let Some(room) = window.limit.checked_sub(cost) else { return length };
        // In this span what is left of the previous one has to shrink; in the next one, what this one leaves behind.
        let at = match room.checked_sub(self.current) {
            Some(room) => shrunk(self.previous, room, length),
            None => length.saturating_add(shrunk(self.current, room, length)),
        };
        self.start(length).saturating_add(at).saturating_sub(now.0)
    }

    /// Milliseconds from `now` to the end of the aligned span.
    pub(super) fn span_left(self, window: Window, now: UnixMillis) -> u64 {
        let length = length(window);
        self.start(length).saturating_add(length).saturating_sub(now.0)
    }

    fn start(self, length: u64) -> u64 {
        product(self.span, length).unwrap_or(u64::MAX)
    }

    fn elapsed(self, length: u64, now: UnixMillis) -> u64 {
        now.0.saturating_sub(self.start(length)).min(length)
    }
}

/// Number of the aligned span at `now`.
pub(super) fn span(window: Window, now: UnixMillis) -> u64 {
    now.0 / length(window)
}

/// Whether `cost` fits where so much is `used`.
pub(super) fn has_room(window: Window, used: u64, cost: u32) -> bool {
    used.saturating_add(u64::from(cost)) <= u64::from(window.limit)
}

/// `⌈previous × left / length⌉`. Windows up to 49 days need no more than 64 bits; records may name longer ones.
fn overlap(previous: u32, left: u64, length: u64) -> u64 {
    match product(previous.into(), left) {
        Some(product) => product.div_ceil(length),
        None => {
            let overlap = (u128::from(previous) * u128::from(left)).div_ceil(u128::from(length));
            u64::try_from(overlap).unwrap_or(u64::MAX)
        }
    }
}

/// How far into a span the overlap of `before` has shrunk to `room`.
fn shrunk(before: u32, room: u32, length: u64) -> u64 {
    if before <= room {
        return 0;
    }
    let overlap = u128::from(room) * u128::from(length) / u128::from(before);
    length.saturating_sub(u64::try_from(overlap).unwrap_or(u64::MAX))
}

/// Length in milliseconds, never zero.
fn length(window: Window) -> u64 {
    millis(window.length).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn window(limit: u32, seconds: u64) -> Window {
        Window { limit, length: Duration::from_secs(seconds) }
    }

    /// Admits what fits, as the limiter does; returns when something was admitted.
    fn admit(window: Window, arrivals: &[u64]) -> Vec<u64> {
        let mut counts = Counts::default();
        let mut admitted = Vec::new();
        for &at in arrivals {
            counts = counts.at(window, UnixMillis(at));
            if counts.fits(window, UnixMillis(at), 1) {
                counts = counts.charged(1);
                admitted.push(at);
            }
        }
        admitted
    }

    proptest! {
        #[test]
        fn no_aligned_span_admits_more_than_the_limit(
            limit in 1..20u32, mut arrivals in proptest::collection::vec(0..60_000u64, 0..300)
        ) {
            arrivals.sort_unstable();
            let admitted = admit(window(limit, 10), &arrivals);
            for span in 0..6 {
                prop_assert!(admitted.iter().filter(|at| **at / 10_000 == span).count() <= limit as usize);
            }
        }

        #[test]
        fn after_a_burst_before_the_seam_units_come_back_evenly(limit in 1..50u32, after in 1..10_000u64) {
            let burst = vec![9_999; limit as usize];
            let arrivals: Vec<u64> = burst.into_iter().chain((10_000..10_000 + after).flat_map(|at| [at, at])).collect();
            let later = admit(window(limit, 10), &arrivals).len() - limit as usize;
            prop_assert!(later as u64 <= u64::from(limit) * after / 10_000);
        }

        #[test]
        fn no_stretch_admits_more_than_a_bucket_that_refills_evenly(
            limit in 1..30u32, mut arrivals in proptest::collection::vec((0..40_000u64, 1..8u32), 0..200),
            from in 0..40_000u64, stretch in 0..10_000u64
        ) {
            arrivals.sort_unstable();
            let window = window(limit, 10);
            let (mut counts, mut admitted) = (Counts::default(), 0);
            for (at, cost) in arrivals {
                counts = counts.at(window, UnixMillis(at));
                if counts.fits(window, UnixMillis(at), cost) {
                    counts = counts.charged(cost);
                    admitted += u64::from(if (from..=from + stretch).contains(&at) { cost } else { 0 });
                }
            }
            prop_assert!(admitted <= u64::from(limit) + u64::from(limit) * stretch / 10_000);
        }

        #[test]
        fn what_fits_goes_on_fitting_while_nothing_is_charged(
            previous in 0..100u32, current in 0..100u32, limit in 1..100u32, cost in 1..100u32,
            now in 40_000..60_000u64, later in 0..30_000u64
        ) {
            let (window, now, then) = (window(limit, 10), UnixMillis(now), UnixMillis(now + later));
            let counts = Counts { span: 5, previous, current }.at(window, now);
            prop_assert!(!counts.fits(window, now, cost) || counts.at(window, then).fits(window, then, cost));
        }

        #[test]
        fn the_wait_is_the_shortest_one_wherever_the_clock_stands(
            previous in 0..100u32, current in 0..100u32, limit in 1..100u32, cost in 1..100u32,
            now in prop_oneof![50_000..60_000u64, 0..100_000u64]
        ) {
            let (window, now) = (window(limit, 10), UnixMillis(now));
            let counts = Counts { span: 5, previous, current }.at(window, now);
            let cost = cost.min(limit);
            let wait = counts.wait(window, now, cost);
            let fits = |ms| {
                let then = UnixMillis(now.0 + ms);
                counts.at(window, then).fits(window, then, cost)
            };
            prop_assert!(fits(wait), "not yet after {wait} ms");
            prop_assert!(wait == 0 || !fits(wait - 1), "already after {} ms", wait - 1);
            prop_assert!(wait <= 30_000, "two windows, and one that the clock may lag");
        }

        #[test]
        fn a_clock_that_steps_back_gives_no_room(previous in 0..9u32, current in 0..9u32, back in 0..50_000u64) {
            let window = window(8, 10);
            let counts = Counts { span: 5, previous, current };
            let now = UnixMillis(55_000);
            let then = UnixMillis(55_000 - back);
            prop_assert!(counts.at(window, then).used(window, then) >= counts.used(window, now));
        }

        #[test]
        fn nothing_overflows(span: u64, previous: u32, current: u32, limit in 1..u32::MAX, cost: u32, now: u64, seconds in 1..2_678_400u64) {
            let window = window(limit, seconds);
            let now = UnixMillis(now);
            for counts in [Counts { span, previous, current }, Counts { span, previous, current }.at(window, now)] {
                let _ = (counts.fits(window, now, cost), counts.wait(window, now, cost), counts.span_left(window, now));
                let _ = (counts.charged(cost), counts.refunded(span, cost));
            }
        }
    }

    #[test]
    fn windows_of_records_may_be_longer_than_64_bits_can_multiply() {
        let (window, counts) = (window(1, u64::from(u32::MAX)), Counts { span: 5, previous: u32::MAX, current: 1 });
        let length = length(window);
        let used = |after| counts.used(window, UnixMillis(5 * length + after));
        assert_eq!([used(0), used(length / 2), used(length)], [1 << 32, (1 << 31) + 1, 1]);
    }

    #[test]
    fn a_cost_above_the_limit_never_fits() {
        assert!(!Counts::default().fits(window(5, 10), UnixMillis(0), 6));
        assert_eq!(Counts::default().wait(window(5, 10), UnixMillis(0), 6), 10_000);
    }

    #[test]
    fn a_refund_reaches_the_span_that_was_charged() {
        let counts = Counts { span: 5, previous: 3, current: 4 };
        assert_eq!(counts.refunded(5, 1), Counts { current: 3, ..counts });
        assert_eq!(counts.refunded(4, 1), Counts { previous: 2, ..counts });
        assert_eq!(counts.refunded(3, 1), counts);
    }
}
