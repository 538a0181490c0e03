//! Where a Backstage serves its catalog, and what happens without it.

use crate::http::Endpoint;
use std::fmt;
use std::time::Duration;

/// Annotations with what directories call a group, by the providers that bring groups into the catalog.
pub const GROUP_IDS: [&str; 3] = ["graph.microsoft.com/group-id", "keycloak.org/id", "backstage.io/ldap-dn"];

/// A catalog and how it is kept; routes with equal settings share one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CatalogSource {
    /// The base URL of the Backstage backend.
    pub backend: Endpoint,
    /// The `authorization` header for it: a service token that may read the catalog.
    pub authorization: Option<String>,
    /// How often the catalog is read.
    pub refresh: Duration,
    /// How long each page may take.
    pub timeout: Duration,
    /// Entities a page.
    pub page_size: u64,
    /// Whose word makes a consumer.
    pub consumers: Consumers,
    /// Whether the owner of a consumer's system counts as a consumer too.
    pub system_consumers: bool,
    /// Whether a group's parents count as the caller's groups too.
    pub parent_groups: bool,
    /// Annotations that groups are looked up by, besides the usual ones.
    pub group_annotations: Vec<String>,
}

impl fmt::Debug for CatalogSource {
    /// Names the place only: the token stays out of every log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CatalogSource").field("backend", &self.backend).finish_non_exhaustive()
    }
}

/// A route's use of a catalog.
#[derive(Debug)]
pub struct Catalog {
    /// Which.
    pub source: CatalogSource,
    /// How old it may be.
    pub max_stale: Duration,
    /// What happens when it is older, or was never read.
    pub on_stale: OnStale,
}

/// Whose word makes somebody a consumer of an API. The gateway has no consumers of its own; what it grants some day would be a
/// word more here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Consumers {
    /// The consumer's own: whoever owns something that has the relation `consumesApi`.
    Declared,
    /// The consumer's, and that of the API, which lists it in `backstage-kong/approved-consumers`.
    Approved,
    /// Nobody's: there are no consumers.
    None,
}

impl Consumers {
    /// The word for it in configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Declared => "declared",
            Self::Approved => "approved",
            Self::None => "none",
        }
    }

    /// What a word in configuration means.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Declared, Self::Approved, Self::None].into_iter().find(|consumers| consumers.name() == name)
    }
}

/// What happens to a request that needs the catalog when that is too old or was never read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnStale {
    /// It is refused with 503.
    Deny,
    /// Every valid token passes.
    Allow,
    /// It is decided by the owner and the consumers that the route's configuration names.
    Static,
}
