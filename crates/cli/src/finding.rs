//! What is wrong, where, and what to do about it.

use crate::out::{BAD, BOLD, CARE, DIM};
use crate::yaml;
use backstage_kong::entity::EntityRef;
use serde::Serialize;
use std::fmt;
use std::rc::Rc;

/// A file that was read, by the name that it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct File(Rc<str>);

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A line of a file, from 1.
    Line(File, usize),
    /// An entity of a catalog that a Backstage serves.
    Entity(EntityRef),
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It does not work, or not as it says.
    Error,
    /// It works, but hardly as somebody wants it.
    Warning,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Where.
    pub place: Place,
    /// How bad.
    pub severity: Severity,
    /// What.
    pub message: String,
    /// What to do about it, where that is not what the message says.
    pub fix: Option<String>,
}

impl File {
    /// A file of a name.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// A line of it.
    pub fn line(&self, line: usize) -> Place {
        Place::Line(self.clone(), line)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Reads YAML that came from it.
    ///
    /// # Errors
    /// The first place that is no YAML, as a finding.
    pub fn load(&self, text: &str) -> Result<Vec<yaml::Node>, Finding> {
        yaml::load(text).map_err(|error| Finding::error(self.line(error.line), error.problem))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(file, line) => write!(f, "{}:{line}", file.name()),
            Self::Entity(entity) => write!(f, "{entity}"),
        }
    }
}

impl Finding {
    /// An error.
    pub fn error(place: Place, message: impl Into<String>) -> Self {
        Self { place, severity: Severity::Error, message: message.into(), fix: None }
    }

    /// A warning.
    pub fn warning(place: Place, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(place, message) }
    }

    /// The same, with what to do about it.
    pub fn fix(self, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), ..self }
    }

    /// For programs.
    pub fn to_json(&self) -> serde_json::Value {
        let (file, line, entity) = match &self.place {
            Place::Line(file, line) => (Some(file.name()), Some(*line), None),
            Place::Entity(entity) => (None, None, Some(entity.as_str())),
        };
        serde_json::json!({"file": file, "line": line, "entity": entity, "severity": self.severity, "message": self.message,
                           "fix": self.fix})
    }

    /// For a terminal.
    pub fn styled(&self) -> impl fmt::Display + '_ {
        let style = match self.severity {
            Severity::Error => BAD.bold(),
            Severity::Warning => CARE.bold(),
        };
        let rest = self.fix.as_ref().map(|fix| format!(" {DIM}({fix}){DIM:#}")).unwrap_or_default();
        format!("{BOLD}{}:{BOLD:#} {style}{}:{style:#} {}{rest}", self.place, self.severity.name(), self.message)
    }
}

impl Severity {
    fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.place, self.severity.name(), self.message)?;
        match &self.fix {
            Some(fix) => write!(f, " ({fix})"),
            None => Ok(()),
        }
    }
}
