//! Time as the filter sees it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Where a [`Node`](crate::Node) takes its time from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Stands still until moved with [`Node::set_clock`](crate::Node::set_clock) or
    /// [`Node::advance`](crate::Node::advance); milliseconds since the Unix epoch.
    Manual(u64),
    /// The machine's own.
    System,
}

/// A clock that all workers of a node share.
#[derive(Debug)]
pub(crate) struct SharedClock {
    /// `None`: the system's.
    manual: Option<AtomicU64>,
}

impl SharedClock {
    pub(crate) fn new(clock: Clock) -> Self {
        let manual = match clock {
            Clock::Manual(ms) => Some(AtomicU64::new(ms)),
            Clock::System => None,
        };
        Self { manual }
    }

    pub(crate) fn now_nanos(&self) -> u64 {
        match &self.manual {
            Some(ms) => ms.load(Ordering::SeqCst).saturating_mul(1_000_000),
            None => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)),
        }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.now_nanos() / 1_000_000
    }

    pub(crate) fn set(&self, ms: u64) {
        if let Some(manual) = &self.manual {
            manual.store(ms, Ordering::SeqCst);
        }
    }

    pub(crate) fn advance(&self, ms: u64) {
        if let Some(manual) = &self.manual {
            manual.fetch_add(ms, Ordering::SeqCst);
        }
    }
}
