//! What is wrong with a configuration: where, what was found, and what is allowed.

use crate::entity::EntityRefError;
use std::fmt;

/// One fault in a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Where, as in `issuers[0].algorithms[1]`; `.` is the whole.
    pub path: String,
    /// What.
    pub problem: Problem,
}

/// What is wrong at a place. No variant carries a secret, nor the user and password of a URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not JSON at all.
    #[error("is not JSON: {0}")]
    Json(String),
    /// An unknown field, a missing one, a value of another type or an unknown word; serde says which and what it takes.
    #[error("{0}")]
    Shape(String),
    /// A number outside its range.
    #[error("is {found}; it must be from {min} to {max}")]
    Range {
        /// What the configuration says.
        found: String,
        /// Smallest allowed.
        min: u64,
        /// Largest allowed.
        max: u64,
    },
    /// A text that must not be empty.
    #[error("is empty; it needs {0}")]
    Empty(&'static str),
    /// A text that is not what stands there.
    #[error("is {found:?}; it must be {allowed}")]
    NotAllowed {
        /// What the configuration says.
        found: String,
        /// What it may say.
        allowed: String,
    },
    /// Not an entity reference.
    #[error("{found:?} {error}")]
    Entity {
        /// What the configuration says.
        found: String,
        /// The part that breaks the rules.
        error: EntityRefError,
    },
    /// Something that another setting asks for is missing.
    #[error("{0}")]
    Missing(&'static str),
    /// Something that the issuer's preset cannot know is missing.
    #[error("is missing; {0}")]
    Needed(String),
    /// Settings that exclude each other.
    #[error("{0}")]
    Conflict(&'static str),
    /// The same thing twice.
    #[error("{0:?} is there twice; each may stand once")]
    Duplicate(String),
    /// A shared secret that is too short (RFC 7518 §3.2). Its text is not shown.
    #[error("has {found} bytes; a secret for these algorithms needs at least {min}")]
    ShortSecret {
        /// Bytes found.
        found: usize,
        /// Bytes needed.
        min: usize,
    },
    /// An inline key set without a usable key.
    #[error("{0}")]
    Keys(String),
}

impl ConfigError {
    pub(super) fn new(path: impl Into<String>, problem: Problem) -> Self {
        Self { path: path.into(), problem }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "configuration error at {}: {}", self.path, self.problem)
    }
}

impl std::error::Error for ConfigError {}
