//! A quota engine: where a cluster's nodes count together.

use crate::http::Endpoint;
use std::fmt;
use std::time::Duration;

/// Redis behind Webdis, its HTTP front.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Engine {
    /// Webdis.
    pub endpoint: Endpoint,
    /// The `authorization` header for it.
    pub authorization: Option<String>,
    /// When nodes and engine speak.
    pub synchronise: Synchronise,
    /// How often a node tells the engine what it has admitted by itself, and how often it asks what others have.
    pub interval: Duration,
    /// How long a request waits for the engine.
    pub timeout: Duration,
    /// What happens while it does not answer.
    pub on_error: OnEngineError,
    /// When it is left alone.
    pub breaker: Breaker,
}

impl fmt::Debug for Engine {
    /// Names the place only: the password stays out of every log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// When nodes and engine speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Synchronise {
    /// At each request, which waits for it: no budget is ever passed.
    Exact,
    /// Beside requests: a request is admitted by what the node knows.
    Periodic,
}

/// What happens to a request while the engine does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OnEngineError {
    /// The node counts by itself; the engine is told when it is back.
    Local,
    /// It is refused with 503.
    Deny,
    /// It passes uncharged.
    Allow,
}

impl OnEngineError {
    /// The word for it in configuration and in the audit trail.
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Deny => "deny",
            Self::Allow => "allow",
        }
    }
}

/// When an engine that fails is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Breaker {
    /// Failures in a row that open it.
    pub failures: u32,
    /// How long it stays open before one request tries again.
    pub open: Duration,
}
