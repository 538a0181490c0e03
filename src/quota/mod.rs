//! Quotas: sliding windows in a node's shared data, or in an engine that the nodes of a cluster share.

mod account;
mod claim;
pub mod engine;
pub mod fields;
mod in_flight;
mod key;
mod ledger;
mod limiter;
mod slots;
mod window;

pub use key::{KeySecret, KeySecrets, Subject, Subjects, Tiers};
pub use limiter::charge;

use crate::config::Window;
use std::rc::Rc;

/// What charging a request came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Charge {
    /// Charged to every policy. One state a policy and window, in configuration order.
    Charged(Vec<WindowState>),
    /// Charged to none: at least one window has no room. All states as they stand, the violated ones marked.
    Exhausted(Vec<WindowState>),
    /// Shared data failed; nothing is charged.
    StoreFailed(StoreFault),
}

/// One window of one policy after a charge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowState {
    /// Name of the policy.
    pub policy: Rc<str>,
    /// The window in force for this caller (overrides included).
    pub window: Window,
    /// Units left, whole.
    pub remaining: u32,
    /// Whole seconds, rounded up, at least 1: until the refused cost fits where there is no room, else to the end of the
    /// aligned span.
    pub reset_seconds: u32,
    /// Whether this window had no room for the request; never where it was charged.
    pub violated: bool,
}

/// What went wrong with shared data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum StoreFault {
    /// The host failed a read or a write.
    #[error("shared data did not answer")]
    Unavailable,
    /// Other workers won every round of the bounded loop.
    #[error("other workers kept writing first")]
    Contended,
    /// Every slot of the key is taken by another key with the same CRC32.
    #[error("the record's slots are taken by other keys")]
    Collision,
}

impl StoreFault {
    /// The word for it in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Contended => "contended",
            Self::Collision => "collision",
        }
    }
}

#[cfg(test)]
mod tests;
