//! Kong's declarative configuration (`_format_version: "3.0"`), as far as a gateway for a laptop and tools need it: services,
//! routes, the filters on them, and which route a request takes.
//!
//! The same file configures Kong, so what Kong knows and this reader does not is let pass; what it does read is checked,
//! and a fault names its path, what was found and what is allowed. Configurations of filters are validated by [`schema`].

mod build;
mod error;
mod raw;
mod router;
pub mod schema;
mod transformer;
pub mod uri;

pub use error::KongYmlError;
pub use router::{Fit, Match, RequestLine, Router, Weighed};

use build::Build;
use error::Found;
use schema::Schema;
use serde_json::Value;
use std::time::Duration;

/// A declarative configuration, references resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct KongYml {
    /// Services in the order of the file.
    pub services: Vec<Service>,
    /// Routes in the order of the file.
    pub routes: Vec<Route>,
    /// Every configuration of a filter, of those too that are turned off or run on no route: Kong validates all of them.
    pub configurations: Vec<Configuration>,
}

/// Where requests go.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// A UUID made from the name, the same at each start.
    pub id: String,
    /// Its name; the host's name when the file gives none.
    pub name: String,
    /// `http` or `https`; the laptop gateway speaks only `http`.
    pub protocol: String,
    /// Name or address of the upstream, before `--resolve`.
    pub host: String,
    /// Port of the upstream.
    pub port: u16,
    /// Prefix of every path sent upstream; empty or starting with `/`.
    pub path: String,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long the upstream may take to answer.
    pub read_timeout: Duration,
    /// Free labels.
    pub tags: Vec<String>,
}

/// Which requests belong to a service, and the filters they pass.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// A UUID made from the name, the same at each start.
    pub id: String,
    /// Its name, or its first path.
    pub name: String,
    /// Index into [`KongYml::services`].
    pub service: usize,
    /// Prefixes, or regular expressions after a `~`. Empty: every path.
    pub paths: Vec<String>,
    /// Empty: every method.
    pub methods: Vec<String>,
    /// Host names, `*.` in front or `.*` behind as a wildcard. Empty: every host.
    pub hosts: Vec<String>,
    /// Whether the matched prefix is taken off the path sent upstream.
    pub strip_path: bool,
    /// Whether the upstream gets the client's `Host`.
    pub preserve_host: bool,
    /// Rank among routes with regular expressions; the higher first.
    pub regex_priority: i64,
    /// Free labels.
    pub tags: Vec<String>,
    /// Filters in the order they run: the service's chain, the route's chain, then filters attached as plugins.
    pub filters: Vec<FilterUse>,
    /// Names, in lower case, of headers that Kong takes off requests before filters run: those of the nearest `request-transformer`,
    /// which is the route's own, or else the service's, or else the global one.
    pub removed_headers: Vec<String>,
}

/// A filter on a route, with its configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterUse {
    /// The name of the filter: its file's name without `.wasm`.
    pub name: String,
    /// The bytes the filter is configured with: a string as it stands, anything else as JSON.
    pub config: Vec<u8>,
}

/// A filter's configuration where the file has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Configuration {
    /// Where in the file, such as `services[0].filter_chains[0].filters[0].config`.
    pub path: String,
    /// What it is on, for people: `route "payments"`.
    pub holder: String,
    /// The filter's name.
    pub filter: String,
    /// What stands there; `null` if nothing does.
    pub value: Value,
}

/// Which filters there are.
#[derive(Debug, Clone, Copy)]
pub enum Filters<'a> {
    /// These, and no others: a chain that names another is faulty.
    Loaded(&'a [&'a str]),
    /// These and others: a chain may name any.
    Among(&'a [&'a str]),
}

impl Filters<'_> {
    fn names(&self) -> &[&str] {
        match self {
            Self::Loaded(names) | Self::Among(names) => names,
        }
    }
}

impl KongYml {
    /// Reads a declarative configuration. `filters` tells which plugins are filters; other plugins are Kong's own and
    /// are returned by name so that the caller can say that they do not run here. Of `request-transformer` what is read is in
    /// [`Route::removed_headers`], and what is not is returned in the same way.
    ///
    /// # Errors
    /// The first fault, with its path, and its line where YAML itself or the shape is wrong.
    pub fn parse(text: &str, filters: Filters<'_>) -> Result<(Self, Vec<String>), KongYmlError> {
        let deserializer = serde_yaml_ng::Deserializer::from_str(text);
        let raw: raw::Document = serde_path_to_error::deserialize(deserializer)
            .map_err(|e| KongYmlError::new(e.path().to_string(), Found::Shape(e.inner().to_string())))?;
        if !matches!(raw.format_version.as_str(), "3.0" | "2.1" | "1.1") {
            return Err(KongYmlError::new("_format_version", Found::NotAllowed(raw.format_version, "\"3.0\"")));
        }
        Build::new(filters).document(raw)
    }

    /// Validates the configurations of a filter as Kong does when it loads the file.
    ///
    /// # Errors
    /// The first that does not fit.
    pub fn validate(&self, filter: &str, schema: &Schema) -> Result<(), KongYmlError> {
        for configuration in self.configurations.iter().filter(|configuration| configuration.filter == filter) {
            schema.check(&configuration.value).map_err(|violation| {
                let violation = violation.within(&configuration.path);
                KongYmlError::new(violation.path, Found::Violation(violation.problem, configuration.holder.clone()))
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
