//! Serde's mirror of the configuration text. Unknown fields are refused everywhere; meaning is checked in `parse`.

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    pub entity: String,
    pub owner: Option<String>,
    #[serde(default)]
    pub consumers: List<String>,
    #[serde(default)]
    pub credentials: Credentials,
    #[serde(default)]
    pub issuers: List<Issuer>,
    pub policy: Policy,
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
pub(super) struct Credentials {
    pub header: String,
    /// Absent means `Bearer` for `authorization` and none for any other header.
    #[serde(deserialize_with = "present")]
    pub scheme: Option<Option<String>>,
    pub cookie: Option<String>,
    pub forward_token: bool,
    pub cors_preflight: Preflight,
    pub max_token_bytes: u64,
}

impl Default for Credentials {
    fn default() -> Self {
        Self {
            header: "authorization".to_owned(),
            scheme: None,
            cookie: None,
            forward_token: false,
            cors_preflight: Preflight::Pass,
            max_token_bytes: 16 * 1024,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Preflight {
    Pass,
    Check,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Issuer {
    pub issuer: String,
    #[serde(default)]
    pub audiences: List<String>,
    #[serde(default)]
    pub audience_match: AudienceMatch,
    pub algorithms: Option<List<String>>,
    pub jwks: Option<Value>,
    pub jwks_uri: Option<String>,
    pub upstream: Option<String>,
    pub fetch: Option<Fetch>,
    pub secret: Option<Secret>,
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
pub(super) enum AudienceMatch {
    #[default]
    Any,
    All,
    Unchecked,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub(super) enum SubjectKind {
    #[default]
    User,
    Service,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Fetch {
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

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Claims {
    pub user: Option<String>,
    pub groups: Option<String>,
    pub client: Option<String>,
    pub agent: Option<String>,
    pub service: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Users {
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
pub(super) struct Groups {
    pub table: BTreeMap<String, String>,
    pub transform: Option<Transform>,
    pub namespace: String,
    pub entity_refs: bool,
}

impl Default for Groups {
    fn default() -> Self {
        Self {
            table: BTreeMap::new(),
            transform: Some(Transform::Identity),
            namespace: "default".to_owned(),
            entity_refs: false,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Transform {
    Identity,
    KebabCase,
    LastPathSegment,
    #[serde(rename = "msgraph")]
    MsGraph,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Policy {
    #[serde(default)]
    pub mode: Mode,
    #[serde(default)]
    pub agents: Agents,
    pub rules: List<Rule>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    #[default]
    Enforce,
    Shadow,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub(super) enum Agents {
    #[default]
    Deny,
    ReadOnly,
    Allow,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
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
pub(super) enum Kind {
    User,
    Service,
    Agent,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Quotas {
    #[serde(default)]
    pub mode: Mode,
    #[serde(default)]
    pub on_store_error: StoreFault,
    #[serde(default)]
    pub x_ratelimit_headers: bool,
    pub policies: List<QuotaPolicy>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub(super) enum StoreFault {
    #[default]
    Deny,
    Allow,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct QuotaPolicy {
    pub name: String,
    pub per: Per,
    pub windows: List<String>,
    #[serde(default)]
    pub overrides: BTreeMap<String, List<String>>,
    #[serde(default)]
    pub cost: BTreeMap<String, u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Per {
    Group,
    User,
    Client,
    Entity,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Tags {
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
pub(super) enum ConsumerHeaders {
    Strip,
    Set,
    Keep,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Audit {
    pub log_level: Level,
    pub sample_allows: f64,
}

impl Default for Audit {
    fn default() -> Self {
        Self { log_level: Level::Warn, sample_allows: 1.0 }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Level {
    Error,
    Warn,
    Info,
    Debug,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Metrics {
    pub enabled: bool,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { enabled: true }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SharedData {
    pub keys_zone: String,
    pub quota_zone: String,
}

impl Default for SharedData {
    fn default() -> Self {
        Self { keys_zone: "backstage_kong_keys".to_owned(), quota_zone: "backstage_kong_quota".to_owned() }
    }
}

fn thirty() -> u64 {
    30
}

/// Tells a field that is `null` from one that is not there.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(from).map(Some)
}

/// A shared secret. Its text never reaches an error message, whatever type the configuration gives it.
pub(super) struct Secret(pub String);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match Value::deserialize(from)? {
            Value::String(text) => Ok(Self(text)),
            _ => Err(serde::de::Error::custom("must be a string")),
        }
    }
}

/// A JSON array. Kong re-encodes a configuration through Lua, where an empty array comes out as `{}`: that counts as an
/// empty array too.
pub(super) struct List<T>(pub Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct ListVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
            type Value = Vec<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(list)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Vec<T>, A::Error> {
                match members.next_key::<IgnoredAny>()? {
                    None => Ok(Vec::new()),
                    Some(_) => Err(serde::de::Error::invalid_type(serde::de::Unexpected::Map, &self)),
                }
            }
        }

        from.deserialize_any(ListVisitor(PhantomData)).map(Self)
    }
}
