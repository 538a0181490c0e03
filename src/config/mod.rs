//! The configuration of one route, parsed once into types.
//!
//! [`Config`] is what the rest of the core reads. The text's own shape, serde's mirror of it, stays in `raw`; turning one
//! into the other is the only validation there is.

mod catalog;
mod claim;
mod engine;
mod error;
mod issuer;
mod parse;
mod policy;
mod quota;
mod verification;

pub use catalog::{Catalog, CatalogSource, Consumers, GROUP_IDS, OnStale};
pub use claim::ClaimName;
pub use engine::{Breaker, Engine, OnEngineError, Synchronise};
pub use error::{ConfigError, Problem};
pub use issuer::{
    Audiences, ClaimNames, FetchSettings, GroupMapping, Issuer, IssuerId, KeySource, NameTransform, RemoteKeys,
    RemoteSource, Secret, UserMapping, Userinfo,
};
pub use parse::group_annotation;
pub use policy::{AgentAccess, Allow, Method, Mode, Policy, PrincipalKind, Rule, Traversal};
pub use quota::{OnStoreError, Per, QuotaPolicy, Quotas, Window, WindowProblem};
pub use verification::{Allowance, Verification};

use crate::entity::EntityRef;
use backstage_kong_shape as raw;
use std::rc::Rc;

/// Everything that governs one route.
#[derive(Debug)]
pub struct Config {
    /// The entity behind the route, such as `api:default/payments`. Without it the catalog says which one that is.
    pub entity: Option<EntityRef>,
    /// Backstage's catalog, where it says who owns and who consumes the entity.
    pub catalog: Option<Catalog>,
    /// Who owns it: a group or a user.
    pub owner: Option<EntityRef>,
    /// Who consumes it: groups or users that `consumer` in a rule stands for.
    pub consumers: Vec<EntityRef>,
    /// Where a request carries its token and what becomes of it.
    pub credentials: Credentials,
    /// The issuers whose tokens are accepted here.
    pub issuers: Vec<Rc<Issuer>>,
    /// What tokens that do not hold may cost.
    pub verification: Verification,
    /// Who may do what.
    pub policy: Policy,
    /// How much of it; without it nothing is charged.
    pub quotas: Option<Quotas>,
    /// Whether what a request may do, or costs, depends on its method.
    pub depends_on_method: bool,
    /// What the upstream is told.
    pub tags: Tags,
    /// What the audit trail records.
    pub audit: Audit,
    /// Whether this route counts into the metrics.
    pub metrics: bool,
    /// Shared data zones.
    pub zones: Zones,
    /// The `realm` of `WWW-Authenticate` (RFC 9110 §11.5).
    pub realm: Option<String>,
    /// URL of the protected resource's metadata (RFC 9728 §5.1).
    pub resource_metadata: Option<String>,
}

/// Where a request carries its token (RFC 6750 §2; the query string is never read).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Lower-case header name; `authorization` unless configured.
    pub header: String,
    /// The scheme before the token (`Bearer`), compared without regard to case; `None` when the header is the bare token.
    pub scheme: Option<String>,
    /// A cookie that may carry the token instead.
    pub cookie: Option<String>,
    /// Whether the upstream receives the token; in shadow mode it does unless the configuration says otherwise.
    pub forward_token: bool,
    /// Whether a CORS preflight (`OPTIONS` with `Origin` and `Access-Control-Request-Method`) passes without a token.
    pub pass_cors_preflight: bool,
    /// Longest token in bytes.
    pub max_token_bytes: usize,
}

/// What the upstream is told about the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tags {
    /// Whether W3C `baggage` gets the entity refs.
    pub baggage: bool,
    /// What happens to the headers that Kong's own authentication plugins set.
    pub consumer_headers: ConsumerHeaders,
    /// Whether `kong.ctx.shared.*` gets the decision, on hosts that have it.
    pub context: bool,
}

/// What happens to `x-consumer-*`, `x-credential-identifier` and `x-anonymous-consumer`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsumerHeaders {
    /// Removed: nobody but this filter authenticates here.
    Strip,
    /// Removed, then set from the verified principal.
    Set,
    /// Left alone: one of Kong's authentication plugins runs on the route and sets them.
    Keep,
}

/// What the audit trail records.
#[derive(Debug, Clone, PartialEq)]
pub struct Audit {
    /// Level of the audit line; must not be below the proxy's own level, or nothing is written.
    pub log_level: log::Level,
    /// Share of allowed requests that are recorded, 0 to 1. Denials always are.
    pub sample_allows: f64,
    /// Whether a second line tells status and duration of each recorded request once its answer is out.
    pub answers: bool,
}

/// Named zones of shared data. Kong reads `zone/key` as a key in zone `zone` (`KONG_NGINX_WASM_SHM_KV_<zone>`), and falls
/// back to the zone `*`; other hosts take the whole text as the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zones {
    /// Where key sets are kept.
    pub keys: String,
    /// Where quota records are kept.
    pub quota: String,
    /// Where catalogs are kept.
    pub catalog: String,
}
