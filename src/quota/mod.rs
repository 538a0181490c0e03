//! Quotas: sliding windows in shared data.

use crate::config::Window;

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
    pub policy: String,
    /// The window in force for this caller (overrides included).
    pub window: Window,
    /// Units left, whole.
    pub remaining: u32,
    /// Whole seconds, rounded up: until the window is empty again when there is room, until the refused cost fits when
    /// there is none.
    pub reset_seconds: u32,
    /// Whether this window had no room.
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
