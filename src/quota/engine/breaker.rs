//! A circuit breaker: an engine that fails is left alone, and then tried by one request at a time.

use crate::config::Breaker as Settings;
use crate::host::UnixMillis;
use std::cell::Cell;

/// One worker's experience with an engine.
#[derive(Debug, Default)]
pub(super) struct CircuitBreaker {
    failures: Cell<u32>,
    /// Before when nobody asks, once it is open.
    closed_until: Cell<UnixMillis>,
}

impl CircuitBreaker {
    /// Whether to ask. Where it is open and its time is up, this asker is the only one until it knows more, or until the same
    /// time has passed again.
    pub(super) fn admits(&self, settings: Settings, now: UnixMillis) -> bool {
        if !self.is_open(settings) {
            return true;
        }
        let may_try = self.closed_until.get() <= now;
        if may_try {
            self.closed_until.set(now.after(settings.open));
        }
        may_try
    }

    /// Whether the engine is left alone, but for one that tries.
    pub(super) fn is_open(&self, settings: Settings) -> bool {
        self.failures.get() >= settings.failures
    }

    pub(super) fn succeeded(&self) {
        self.failures.set(0);
    }

    pub(super) fn failed(&self, settings: Settings, now: UnixMillis) {
        self.failures.set(self.failures.get().saturating_add(1));
        self.closed_until.set(now.after(settings.open));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const SETTINGS: Settings = Settings { failures: 3, open: Duration::from_secs(5) };

    fn at(seconds: u64) -> UnixMillis {
        UnixMillis(1_750_000_000_000 + seconds * 1000)
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_then_lets_one_try() {
        let breaker = CircuitBreaker::default();
        for _ in 0..2 {
            breaker.failed(SETTINGS, at(0));
            assert!(breaker.admits(SETTINGS, at(0)));
        }
        breaker.succeeded();
        for _ in 0..3 {
            assert!(breaker.admits(SETTINGS, at(0)), "a success begins the count anew");
            breaker.failed(SETTINGS, at(0));
        }
        assert!(!breaker.admits(SETTINGS, at(4)));
        assert!(breaker.admits(SETTINGS, at(5)), "one tries");
        assert!(!breaker.admits(SETTINGS, at(5)), "and only one");
        breaker.failed(SETTINGS, at(6));
        assert!(!breaker.admits(SETTINGS, at(10)));
        assert!(breaker.admits(SETTINGS, at(11)));
        breaker.succeeded();
        assert!(breaker.admits(SETTINGS, at(11)) && breaker.admits(SETTINGS, at(11)));
    }

    #[test]
    fn a_trial_that_never_ends_does_not_keep_it_open_for_good() {
        let breaker = CircuitBreaker::default();
        (0..3).for_each(|_| breaker.failed(SETTINGS, at(0)));
        assert!(breaker.admits(SETTINGS, at(5)));
        assert!(!breaker.admits(SETTINGS, at(9)));
        assert!(breaker.admits(SETTINGS, at(10)));
    }
}
