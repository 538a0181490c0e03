//! Units that are on their way to the engine: sent, and not answered yet.
//!
//! A worker can die between sending and the answer, so units do not stay in flight for ever. They are kept by the period of time
//! in which they were sent, and after the end of the next period they count as lost: they were in flight for at least one whole
//! period, and for no more than two if somebody looked.

use crate::host::UnixMillis;
use std::time::Duration;

/// What carries units to the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carrier {
    /// A push, beside requests. Its units were admitted already, and must not be lost.
    Push,
    /// A request that asks whether it may pass. If no answer comes, it has not passed.
    Request,
}

/// The units in flight of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct InFlight {
    /// When the present period began, by the node's own clock.
    since: UnixMillis,
    /// Its number. An answer is for the units of the period in which they were sent.
    period: u32,
    /// Units of pushes, sent in the present period and in the one before.
    pushed: [u32; 2],
    /// The same for requests.
    asked: [u32; 2],
}

impl InFlight {
    /// Length of its bytes.
    pub(super) const SIZE: usize = 28;

    /// The number of the present period.
    pub(super) fn period(&self) -> u32 {
        self.period
    }

    /// All units in flight.
    pub(super) fn total(&self) -> u32 {
        self.pushed.iter().chain(&self.asked).fold(0, |sum, units| sum.saturating_add(*units))
    }

    /// Begins a new period where the present one is over. Returns the units of pushes that are lost.
    pub(super) fn turn(&mut self, now: UnixMillis, period: Duration) -> u32 {
        // The clock may have been set back.
        let passed = now.since(self.since).max(self.since.since(now));
        if passed < period {
            return 0;
        }
        let ([pushed, before], [asked, _]) = (self.pushed, self.asked);
        let is_over_twice = passed >= period * 2;
        let (kept, lost) = if is_over_twice { (0, before.saturating_add(pushed)) } else { (pushed, before) };
        self.pushed = [0, kept];
        self.asked = [0, if is_over_twice { 0 } else { asked }];
        self.since = now;
        // Nothing of the period before is left then.
        self.period = self.period.wrapping_add(if is_over_twice { 2 } else { 1 });
        lost
    }

    /// Sends units.
    pub(super) fn send(&mut self, carrier: Carrier, units: u32) {
        let [present, _] = self.of(carrier);
        *present = present.saturating_add(units);
    }

    /// Takes units out that were sent in `period`. Returns how many; none where they were given up meanwhile.
    pub(super) fn take(&mut self, carrier: Carrier, period: u32, units: u32) -> u32 {
        let age = self.period.wrapping_sub(period);
        let [present, before] = self.of(carrier);
        let sent = match age {
            0 => present,
            1 => before,
            _ => return 0,
        };
        let taken = units.min(*sent);
        *sent -= taken;
        taken
    }

    fn of(&mut self, carrier: Carrier) -> &mut [u32; 2] {
        match carrier {
            Carrier::Push => &mut self.pushed,
            Carrier::Request => &mut self.asked,
        }
    }

    /// Writes its bytes behind what is there.
    pub(super) fn write(&self, record: &mut Vec<u8>) {
        record.extend_from_slice(&self.since.0.to_be_bytes());
        record.extend_from_slice(&self.period.to_be_bytes());
        for units in self.pushed.iter().chain(&self.asked) {
            record.extend_from_slice(&units.to_be_bytes());
        }
    }

    /// Reads its bytes.
    pub(super) fn read(bytes: &[u8; Self::SIZE]) -> Option<Self> {
        let (since, rest) = bytes.split_first_chunk()?;
        let (period, rest) = rest.split_first_chunk()?;
        let mut units =
            rest.chunks_exact(4).map(|units| units.first_chunk().map_or(0, |units| u32::from_be_bytes(*units)));
        let mut two = || Some([units.next()?, units.next()?]);
        let (since, period) = (UnixMillis(u64::from_be_bytes(*since)), u32::from_be_bytes(*period));
        Some(Self { since, period, pushed: two()?, asked: two()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_750_000_000_000);
    const PERIOD: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> UnixMillis {
        NOW.after(Duration::from_secs(seconds))
    }

    fn sent(carrier: Carrier, units: u32) -> InFlight {
        let mut in_flight = InFlight::default();
        assert_eq!(in_flight.turn(NOW, PERIOD), 0);
        in_flight.send(carrier, units);
        in_flight
    }

    #[test]
    fn an_answer_takes_out_what_was_sent_and_no_more() {
        for carrier in [Carrier::Push, Carrier::Request] {
            let mut in_flight = sent(carrier, 5);
            let period = in_flight.period();
            assert_eq!(in_flight.turn(at(10), PERIOD), 0, "it was sent in the period before");
            in_flight.send(carrier, 2);
            assert_eq!((in_flight.take(carrier, period, 9), in_flight.total()), (5, 2));
            assert_eq!((in_flight.take(carrier, in_flight.period(), 2), in_flight.total()), (2, 0));
        }
    }

    #[test]
    fn what_is_not_answered_for_a_whole_period_is_lost_and_only_pushes_are_owed_again() {
        for (carrier, owed) in [(Carrier::Push, 5), (Carrier::Request, 0)] {
            let mut soon = sent(carrier, 5);
            let period = soon.period();
            assert_eq!([9, 10, 19, 20].map(|seconds| soon.turn(at(seconds), PERIOD)), [0, 0, 0, owed]);
            assert_eq!((soon.total(), soon.take(carrier, period, 5)), (0, 0), "its answer changes nothing any more");
            let mut late = sent(carrier, 5);
            assert_eq!((late.turn(at(3600), PERIOD), late.total()), (owed, 0));
            assert_eq!(late.take(carrier, period, 5), 0);
        }
    }

    #[test]
    fn a_clock_that_is_set_back_keeps_nothing_in_flight_for_long() {
        let mut in_flight = sent(Carrier::Push, 5);
        assert_eq!(in_flight.turn(UnixMillis(NOW.0 - 86_400_000), PERIOD), 5);
    }
}
