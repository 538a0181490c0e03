//! Request paths, read in one way only.

/// A pattern over normalised paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern;
