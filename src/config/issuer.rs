//! Issuers: whose tokens count, how they are verified, and what their claims mean in Backstage.

use super::ClaimName;
use crate::entity::EntityRef;
use crate::http::Endpoint;
use crate::jose::{Algorithm, KeySet, Life};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Tells apart issuer settings that must not share verified tokens: equal ids mean equal settings, across all routes of
/// a worker. It is a digest of the issuer's whole configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IssuerId(pub [u8; 16]);

/// One issuer and what its tokens must look like.
pub struct Issuer {
    /// Digest of these settings.
    pub id: IssuerId,
    /// The exact `iss`.
    pub issuer: String,
    /// What `aud` must hold.
    pub audiences: Audiences,
    /// The algorithms that its keys may be used with; never empty.
    pub algorithms: Vec<Algorithm>,
    /// Where its keys come from.
    pub keys: KeySource,
    /// Accepted `typ` header values, lower-case and without `application/` (RFC 8725 §3.11); empty accepts any or none.
    pub typ: Vec<String>,
    /// How far clocks may disagree.
    pub leeway: Duration,
    /// Longest accepted time between `iat` and `exp`; `None` does not ask for `iat`.
    pub max_lifetime: Option<Duration>,
    /// Scopes that must all be in `scope` or `scp`.
    pub required_scopes: Vec<String>,
    /// Claims that must be equal to a value, or hold it where they are arrays.
    pub required_claims: BTreeMap<ClaimName, serde_json::Value>,
    /// What its subjects are, unless a token says `act`.
    pub default_kind: super::PrincipalKind,
    /// Which claims say who the caller is.
    pub claims: ClaimNames,
    /// Whether a token must name its client: the access tokens of some providers do and their ID tokens do not.
    pub client_required: bool,
    /// Where groups come from when a token has none.
    pub userinfo: Option<Userinfo>,
    /// How a user claim becomes a `user:` ref.
    pub users: UserMapping,
    /// How group claims become `group:` refs.
    pub groups: GroupMapping,
}

impl fmt::Debug for Issuer {
    /// Names the issuer only: keys and secrets stay out of every log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// What `aud` must hold (RFC 7519 §4.1.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audiences {
    /// At least one of these.
    AnyOf(Vec<String>),
    /// Each of these.
    AllOf(Vec<String>),
    /// Not looked at: the operator said so, because the provider's access tokens carry none (Amazon Cognito).
    Unchecked,
}

/// Where an issuer's keys come from.
pub enum KeySource {
    /// A key set in the configuration itself.
    Inline(KeySet),
    /// Shared secrets, for HMAC.
    Secrets(Vec<Secret>),
    /// A key set that the provider serves.
    Remote(RemoteKeys),
}

impl KeySource {
    /// The keys of the configuration itself, each as a message names it, with the dates that it ends by. A provider's own
    /// keys have none: rotating them is the provider's work.
    pub fn lives(&self) -> Vec<(String, Life)> {
        let named = |(index, (kid, life)): (usize, (Option<&str>, Life))| {
            (kid.map_or_else(|| format!("key {index}"), |kid| format!("key {index} (kid {kid:?})")), life)
        };
        match self {
            Self::Inline(keys) => keys.lives().enumerate().map(named).collect(),
            Self::Secrets(secrets) => {
                secrets.iter().map(|secret| (secret.kid.as_deref(), secret.life)).enumerate().map(named).collect()
            }
            Self::Remote(_) => Vec::new(),
        }
    }
}

/// A shared secret.
pub struct Secret {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Its `kid`; without one it may be meant by any token.
    pub kid: Option<String>,
    /// Until when it counts.
    pub life: Life,
}

/// A key set that the provider serves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RemoteKeys {
    /// Where.
    pub source: RemoteSource,
    /// How often and how long.
    pub fetch: FetchSettings,
}

/// Where a provider serves its keys.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RemoteSource {
    /// Here.
    Jwks(Endpoint),
    /// Where the provider's metadata says (OpenID Connect Discovery §4).
    Discovery {
        /// The metadata.
        document: Endpoint,
        /// Where the proxy connects for a `jwks_uri` that is on another host than the metadata. Without it such a URI is
        /// refused: a document does not choose whom the gateway calls.
        jwks_upstream: Option<String>,
    },
}

impl RemoteSource {
    /// What is asked first.
    pub fn endpoint(&self) -> &Endpoint {
        match self {
            Self::Jwks(endpoint) | Self::Discovery { document: endpoint, .. } => endpoint,
        }
    }
}

/// Where groups come from when a token has none: an endpoint that is asked with the caller's own token, once a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Userinfo {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// The groups in its answer.
    pub groups: ClaimName,
    /// The subject in its answer, which must be the token's `sub` (OpenID Connect Core §5.3.2).
    pub subject: ClaimName,
    /// How long a request waits for it.
    pub timeout: Duration,
}

/// How a key set is fetched and kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchSettings {
    /// How long a request waits for a fetch.
    pub timeout: Duration,
    /// Age at which a set is fetched anew.
    pub max_age: Duration,
    /// How long past `max_age` a set still serves while the provider is down.
    pub stale: Duration,
    /// Shortest time between two fetches that an unknown key or a failure causes.
    pub cooldown: Duration,
}

/// Which claims say who the caller is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimNames {
    /// The user; `sub` unless configured.
    pub user: ClaimName,
    /// The groups; `groups` unless configured (`ent` where the issuer is a Backstage).
    pub groups: ClaimName,
    /// The OAuth client: the first of these that is there; `azp`, then `client_id`, unless configured.
    pub client: Vec<ClaimName>,
    /// The agent that acts for the user; `/act/sub` (RFC 8693 §4.1) unless configured.
    pub agent: ClaimName,
    /// What makes the caller a service: a claim that is there or, with a value, is equal to it or holds it.
    pub service: Option<(ClaimName, Option<serde_json::Value>)>,
    /// The audience; `aud` unless configured (Amazon Cognito's access tokens have `client_id` in its place).
    pub audience: ClaimName,
}

/// How a provider's name becomes a name in the catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameTransform {
    /// As it is.
    Identity,
    /// Lower case, every run of other characters one hyphen.
    KebabCase,
    /// What follows the last `/`, then as it is.
    LastPathSegment,
    /// What follows the `/` of a path with no other; nothing of what is no such path. It might be anywhere in the tree.
    TopLevelPath,
    /// What stands before the last `@`, then as it is.
    EmailLocalPart,
    /// Backstage's Microsoft Graph provider: lower case, every other character `_`.
    MsGraph,
}

impl NameTransform {
    /// The word for it in configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::KebabCase => "kebab-case",
            Self::LastPathSegment => "last-path-segment",
            Self::TopLevelPath => "top-level-path",
            Self::EmailLocalPart => "email-local-part",
            Self::MsGraph => "msgraph",
        }
    }

    /// Two names that differ by more than letter case and become one, where there are such: whoever may give a group the one name in
    /// the directory has what the catalog grants to the other.
    pub fn merges(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Identity | Self::TopLevelPath => None,
            Self::KebabCase => Some(("Payments Team", "payments/team")),
            Self::LastPathSegment => Some(("/staff/payments", "/contractors/payments")),
            Self::EmailLocalPart => Some(("payments@acme.example", "payments@other.example")),
            Self::MsGraph => Some(("Payments (EU)", "Payments/EU")),
        }
    }
}

/// How a user claim becomes a `user:` ref.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserMapping {
    /// Namespace of mapped users.
    pub namespace: String,
    /// Name transform.
    pub transform: NameTransform,
    /// Whether a claim that already is a full `user:` ref is taken as it is.
    pub entity_refs: bool,
}

/// How group claims become `group:` refs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupMapping {
    /// Explicit table, claim value → ref; it goes first.
    pub table: BTreeMap<String, EntityRef>,
    /// Name transform for what the table does not know; `None` drops such values.
    pub transform: Option<NameTransform>,
    /// Namespace of transformed groups.
    pub namespace: String,
    /// Whether a claim that is one text is several names with spaces between them.
    pub splits_text: bool,
    /// Entries from which on the provider is known to cut the list in silence, so that it counts as unknown.
    pub limit: Option<usize>,
    /// Whether a claim value that already is a full entity ref is taken as it is, kind and namespace included.
    pub entity_refs: bool,
    /// The annotation of the catalog's groups that holds what claims call them.
    pub annotation: Option<String>,
    /// Whether the parents of groups count too.
    pub parents: bool,
}

impl GroupMapping {
    /// Whether the catalog is needed to know a caller's groups.
    pub fn needs_catalog(&self) -> bool {
        self.annotation.is_some() || self.parents
    }
}
