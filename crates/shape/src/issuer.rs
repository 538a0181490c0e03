//! One entry of `issuers`, after its preset has filled in what the operator left out.

use crate::values::{List, OneOrMore, Secret};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    pub issuer: String,
    #[serde(default)]
    pub audiences: List<String>,
    #[serde(default)]
    pub audience_match: AudienceMatch,
    pub algorithms: Option<List<String>>,
    pub jwks: Option<Value>,
    pub jwks_uri: Option<String>,
    pub discovery_uri: Option<String>,
    pub upstream: Option<String>,
    pub jwks_upstream: Option<String>,
    pub fetch: Option<Fetch>,
    pub secret: Option<Secret>,
    pub secrets: Option<List<AgedSecret>>,
    pub userinfo: Option<Userinfo>,
    #[serde(default)]
    pub client_required: bool,
    #[serde(default)]
    pub typ: List<String>,
    #[serde(default = "thirty")]
    pub leeway_seconds: u64,
    pub max_lifetime_seconds: Option<u64>,
    #[serde(default)]
    pub required_scopes: List<String>,
    #[serde(default)]
    pub required_claims: BTreeMap<String, Value>,
    #[serde(default)]
    pub kind: SubjectKind,
    #[serde(default)]
    pub claims: Claims,
    #[serde(default)]
    pub users: Users,
    #[serde(default)]
    pub groups: Groups,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum AudienceMatch {
    #[default]
    Any,
    All,
    Unchecked,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum SubjectKind {
    #[default]
    User,
    Service,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fetch {
    pub timeout_ms: u64,
    pub max_age_seconds: u64,
    pub stale_seconds: u64,
    pub cooldown_seconds: u64,
}

impl Default for Fetch {
    fn default() -> Self {
        Self { timeout_ms: 2_000, max_age_seconds: 300, stale_seconds: 86_400, cooldown_seconds: 10 }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgedSecret {
    pub secret: Secret,
    pub kid: Option<String>,
    pub rotate_by: Option<String>,
    pub not_after: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Userinfo {
    pub uri: String,
    pub upstream: Option<String>,
    pub groups: Option<String>,
    pub subject: Option<String>,
    #[serde(default = "two_thousand")]
    pub timeout_ms: u64,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Claims {
    pub user: Option<String>,
    pub groups: Option<String>,
    pub client: Option<OneOrMore>,
    pub agent: Option<String>,
    /// A claim's name, or an object with a claim's name and its value.
    pub service: Option<Value>,
    pub audience: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Users {
    pub namespace: String,
    pub transform: Transform,
    pub entity_refs: bool,
}

impl Default for Users {
    fn default() -> Self {
        Self { namespace: "default".to_owned(), transform: Transform::Identity, entity_refs: false }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Groups {
    pub table: BTreeMap<String, String>,
    pub transform: Option<Transform>,
    pub namespace: String,
    pub entity_refs: bool,
    pub split: Split,
    pub limit: Option<u64>,
    pub annotation: Option<String>,
}

impl Default for Groups {
    fn default() -> Self {
        Self {
            table: BTreeMap::new(),
            transform: Some(Transform::Identity),
            namespace: "default".to_owned(),
            entity_refs: false,
            split: Split::None,
            limit: None,
            annotation: None,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    None,
    Spaces,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transform {
    Identity,
    KebabCase,
    LastPathSegment,
    TopLevelPath,
    EmailLocalPart,
    #[serde(rename = "msgraph")]
    MsGraph,
}

fn thirty() -> u64 {
    30
}

fn two_thousand() -> u64 {
    2_000
}
