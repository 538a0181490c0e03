//! The shape of a configuration's text: serde's mirror of it. Unknown fields are refused everywhere; what it means is checked by
//! who reads it (`config::parse` of the filter).
//!
//! A crate of its own because it is built for size, where the rest of the filter is built for speed: reading every type with
//! its path in mind makes much code, and it runs once a configuration.
#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "the settings are described where operators read of them, in the schema for Kong")]

mod catalog;
mod engine;
mod error;
mod issuer;
mod values;
mod verification;

pub use catalog::{Catalog, Consumers, OnStale};
pub use engine::{Engine, OnEngineError, Synchronise};
pub use error::ShapeError;
pub use issuer::{AgedSecret, AudienceMatch, Claims, Fetch, Groups, Issuer, Split, SubjectKind, Transform};
pub use values::{List, Secret};
pub use verification::Verification;

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use values::present;

/// Reads a configuration.
///
/// # Errors
/// The first part that has another shape.
pub fn read(value: Value) -> Result<Config, ShapeError> {
    serde_path_to_error::deserialize(value)
        .map_err(|error| ShapeError::new(error.path().to_string(), &error.inner().to_string()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub entity: Option<String>,
    pub catalog: Option<Catalog>,
    pub owner: Option<String>,
    #[serde(default)]
    pub consumers: List<String>,
    #[serde(default)]
    pub credentials: Credentials,
    #[serde(default)]
    pub issuers: List<Issuer>,
    #[serde(default)]
    pub verification: Verification,
    pub policy: Option<Policy>,
    pub quotas: Option<Quotas>,
    #[serde(default)]
    pub tags: Tags,
    #[serde(default)]
    pub audit: Audit,
    #[serde(default)]
    pub metrics: Metrics,
    #[serde(default)]
    pub shared_data: SharedData,
    pub realm: Option<String>,
    pub resource_metadata: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Credentials {
    pub header: String,
    /// Absent means `Bearer` for `authorization` and none for any other header.
    #[serde(deserialize_with = "present")]
    pub scheme: Option<Option<String>>,
    pub cookie: Option<String>,
    /// Absent means: in shadow mode only.
    pub forward_token: Option<bool>,
    pub cors_preflight: Preflight,
    pub max_token_bytes: u64,
}

impl Default for Credentials {
    fn default() -> Self {
        Self {
            header: "authorization".to_owned(),
            scheme: None,
            cookie: None,
            forward_token: None,
            cors_preflight: Preflight::Check,
            max_token_bytes: 16 * 1024,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preflight {
    Pass,
    Check,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    #[serde(default)]
    pub mode: Mode,
    #[serde(default)]
    pub agents: Agents,
    #[serde(default)]
    pub case_sensitive: bool,
    #[serde(default)]
    pub traversal: Traversal,
    pub rules: Option<List<Rule>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    #[default]
    Enforce,
    Shadow,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Traversal {
    #[default]
    Refuse,
    Pass,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Agents {
    #[default]
    Deny,
    ReadOnly,
    Allow,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    pub name: Option<String>,
    #[serde(default)]
    pub methods: List<String>,
    #[serde(default)]
    pub paths: List<String>,
    #[serde(default)]
    pub principals: List<Kind>,
    pub allow: List<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    User,
    Service,
    Agent,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quotas {
    #[serde(default)]
    pub mode: Mode,
    #[serde(default)]
    pub on_store_error: StoreFault,
    pub engine: Option<Engine>,
    #[serde(default)]
    pub x_ratelimit_headers: bool,
    pub policies: List<QuotaPolicy>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum StoreFault {
    #[default]
    Deny,
    Allow,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuotaPolicy {
    pub name: String,
    pub per: Per,
    pub windows: List<String>,
    #[serde(default)]
    pub overrides: BTreeMap<String, List<String>>,
    #[serde(default)]
    pub tiers: BTreeMap<String, List<String>>,
    #[serde(default)]
    pub cost: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    Group,
    User,
    Client,
    Entity,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tags {
    pub baggage: bool,
    pub consumer_headers: ConsumerHeaders,
    pub context: bool,
}

impl Default for Tags {
    fn default() -> Self {
        Self { baggage: true, consumer_headers: ConsumerHeaders::Strip, context: true }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsumerHeaders {
    Strip,
    Set,
    Keep,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Audit {
    pub log_level: Level,
    pub sample_allows: f64,
    pub answers: bool,
}

impl Default for Audit {
    fn default() -> Self {
        Self { log_level: Level::Warn, sample_allows: 1.0, answers: false }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Error,
    Warn,
    Info,
    Debug,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Metrics {
    pub enabled: bool,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { enabled: true }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SharedData {
    pub keys_zone: String,
    pub quota_zone: String,
    pub catalog_zone: String,
}

impl Default for SharedData {
    fn default() -> Self {
        Self {
            keys_zone: "backstage_kong_keys".to_owned(),
            quota_zone: "backstage_kong_quota".to_owned(),
            catalog_zone: "backstage_kong_catalog".to_owned(),
        }
    }
}
