//! What is wrong with a declarative configuration.

use std::fmt;

/// A fault in a declarative configuration: where, what was found, what is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KongYmlError {
    path: String,
    found: Found,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    Shape(String),
    NotAllowed(String, &'static str),
    Regex(String, String),
    Missing(&'static str),
    Duplicate(String),
    UnknownFilter(String, String),
    /// A problem with a filter's configuration, and what that is on.
    Violation(String, String),
}

impl KongYmlError {
    pub(super) fn new(path: impl Into<String>, found: Found) -> Self {
        Self { path: path.into(), found }
    }

    /// Where in the file, such as `services[0].routes[1].paths[0]`.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for KongYmlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path)?;
        match &self.found {
            Found::Shape(problem) => f.write_str(problem),
            Found::NotAllowed(found, allowed) => write!(f, "found {found:?}; allowed: {allowed}"),
            Found::Regex(found, problem) => write!(f, "found {found:?}, which is no regular expression: {problem}"),
            Found::Missing(what) => write!(f, "needs {what}"),
            Found::Duplicate(name) => write!(f, "the name {name:?} is taken"),
            Found::Violation(problem, holder) => write!(f, "{problem} (the filter's schema refuses this on {holder})"),
            Found::UnknownFilter(found, known) => write!(f, "found {found:?}; the filters loaded here: {known}"),
        }
    }
}

impl std::error::Error for KongYmlError {}
