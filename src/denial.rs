//! The only map from what went wrong to what a client reads.
//!
//! Clients learn what to do; why a token failed is for the log. Every fault of a token has one and the same answer, but for a
//! missing scope, which is only ever found after the signature was verified.

use crate::entity::EntityRef;
use crate::host::millis;
use crate::identity::{BudgetExhausted, BudgetOwner, CredentialError, TokenError};
use crate::ownership::NoEntity;
use crate::policy::PolicyDenial;
use crate::quota::engine::EngineError;
use crate::quota::{self, StoreFault, WindowState};
use crate::tags::HeaderFault;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Problem type of the RateLimit header draft (§ "Problem Types").
const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";
/// When to try again after a fault that operators have to mend.
const RETRY_FAULT_SECONDS: u32 = 5;

/// Why a request is not let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// The upstream would get header lines that it must not get.
    Headers(HeaderFault),
    /// The credential could not be read.
    Credential(CredentialError),
    /// The token is refused.
    Token(TokenError),
    /// Too many forged tokens have come, so that this one is not verified.
    VerificationBudget(BudgetExhausted),
    /// The issuer's keys are not to be had.
    KeysUnavailable {
        /// Whether there were some, which are too old by now.
        had_keys: bool,
        /// When to try again.
        retry_after: Duration,
    },
    /// The rules deny.
    Policy(PolicyDenial),
    /// The route names no entity, and the catalog knows none that is behind it.
    NoEntity(NoEntity),
    /// A quota has no room.
    QuotaExhausted {
        /// All windows of the request.
        states: Vec<WindowState>,
        /// Whether `X-RateLimit-*` go with the IETF fields.
        x_ratelimit: bool,
    },
    /// Counts are not to be had, and the configuration denies then.
    QuotaStore(StoreFault),
    /// The engine that counts for the cluster does not answer, and the configuration denies then.
    QuotaEngine(EngineError),
    /// The route's configuration was refused.
    Configuration,
    /// The gateway has sent the request on without asking the filter. Kong does where another plugin buffers the answer.
    NotAsked,
}

/// What an answer says about the resource.
#[derive(Debug, Clone, Copy, Default)]
pub struct About<'a> {
    /// The entity behind the route.
    pub entity: Option<&'a EntityRef>,
    /// `realm` of the challenge.
    pub realm: Option<&'a str>,
    /// URL of the resource's metadata (RFC 9728).
    pub resource_metadata: Option<&'a str>,
    /// The request's id.
    pub request_id: Option<&'a str>,
}

/// An HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Headers; no name twice, for Kong keeps only the last of a name.
    pub headers: Vec<(&'static str, String)>,
    /// `application/problem+json` (RFC 9457).
    pub body: Vec<u8>,
}

/// What a client is told.
struct Public {
    status: u16,
    reason: &'static str,
    title: &'static str,
    detail: &'static str,
    /// `error` of RFC 6750 §3.1; `None` where the request had no credentials.
    challenge: Option<Option<&'static str>>,
}

impl Denial {
    /// The word for it in the audit trail and in metrics: the precise one, not the client's.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Headers(HeaderFault::TooMany) => "too_many_headers",
            Self::Headers(HeaderFault::Repeated(_) | HeaderFault::LongBaggage) => "header_repeated",
            Self::Credential(error) => error.name(),
            Self::Token(error) => error.name(),
            Self::VerificationBudget(BudgetExhausted { by: BudgetOwner::Address, .. }) => "verification_rate",
            Self::VerificationBudget(BudgetExhausted { by: BudgetOwner::Worker, .. }) => "verification_busy",
            Self::KeysUnavailable { had_keys: true, .. } => "keys_stale",
            Self::KeysUnavailable { had_keys: false, .. } => "keys_unavailable",
            Self::Policy(denial) => denial.name(),
            Self::NoEntity(why) => why.name(),
            Self::QuotaExhausted { .. } => "quota_exceeded",
            Self::QuotaStore(_) => "quota_store",
            Self::QuotaEngine(_) => "quota_engine",
            Self::Configuration => "configuration",
            Self::NotAsked => "filter_not_asked",
        }
    }

    /// What the log says beyond the reason; nothing of it reaches the client.
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Headers(fault) => Some(fault.to_string()),
            Self::Credential(error) => Some(error.to_string()),
            Self::Token(error) => Some(error.to_string()),
            Self::NoEntity(why) => Some(why.to_string()),
            Self::QuotaStore(fault) => Some(fault.to_string()),
            Self::QuotaEngine(error) => Some(error.to_string()),
            Self::NotAsked => Some(
                "the gateway sent the request to the upstream without asking the filter, because another plugin buffers \
                 the answer; the client does not get it"
                    .to_owned(),
            ),
            Self::VerificationBudget(_)
            | Self::KeysUnavailable { .. }
            | Self::Policy(_)
            | Self::QuotaExhausted { .. }
            | Self::Configuration => None,
        }
    }

    /// The answer that the client gets.
    pub fn answer(&self, about: &About<'_>) -> Answer {
        let public = self.public();
        let mut headers =
            vec![("content-type", "application/problem+json".to_owned()), ("cache-control", "no-store".to_owned())];
        if let Some(error) = public.challenge {
            headers.push(("www-authenticate", self.challenge(error, &public, about)));
        }
        headers.extend(self.retry_after().map(|seconds| ("retry-after", seconds.to_string())));
        if let Self::QuotaExhausted { states, x_ratelimit } = self {
            headers.extend(quota::fields::headers(states, *x_ratelimit));
        }
        Answer { status: public.status, headers, body: self.body(&public, about) }
    }

    fn public(&self) -> Public {
        const TOKEN: Public = Public {
            status: 401,
            reason: "invalid_token",
            title: "The access token is not accepted",
            detail: "The access token is expired, malformed, or not meant for this API. Get a new one and try again.",
            challenge: Some(Some("invalid_token")),
        };
        match self {
            Self::Headers(HeaderFault::TooMany) => Public {
                status: 431,
                reason: self.reason(),
                title: "The request has too many headers",
                detail: "The request has more header lines than the gateway takes. Send fewer.",
                challenge: None,
            },
            Self::Headers(HeaderFault::Repeated(_) | HeaderFault::LongBaggage) => Public {
                challenge: None,
                reason: self.reason(),
                ..invalid_request(
                    "A header that the gateway sets or reads was sent in several lines. Send it once, or not at all.",
                )
            },
            Self::Credential(CredentialError::Multiple) => {
                invalid_request("Send exactly one credential, in one place.")
            }
            Self::Credential(CredentialError::Malformed) => {
                invalid_request("Send the token as `Authorization: Bearer <token>`.")
            }
            Self::Credential(CredentialError::TooLong { .. }) => invalid_request("The access token is too long."),
            Self::Token(TokenError::MissingScope(_)) => forbidden(
                "insufficient_scope",
                "The access token lacks a scope. Ask for a token with the scope named in the challenge.",
                Some(Some("insufficient_scope")),
            ),
            Self::Token(_) => TOKEN,
            Self::VerificationBudget(BudgetExhausted { by: BudgetOwner::Address, .. }) => Public {
                status: 429,
                reason: "verification_rate",
                title: "Too many access tokens that are not valid",
                detail: "Too many tokens from your address were not valid. Try again after the time in Retry-After.",
                challenge: None,
            },
            Self::VerificationBudget(BudgetExhausted { by: BudgetOwner::Worker, .. }) => unavailable(
                "verification_busy",
                "New tokens cannot be verified right now because too many have come that are not valid.",
            ),
            Self::KeysUnavailable { .. } => unavailable(
                "keys_unavailable",
                "The token cannot be verified right now because the issuer's keys are not available.",
            ),
            Self::Policy(denial) => policy(*denial),
            Self::NoEntity(NoEntity::CatalogUnread) => policy(PolicyDenial::CatalogUnavailable),
            Self::NoEntity(NoEntity::Unknown(_) | NoEntity::NoService | NoEntity::Ambiguous(_)) => {
                policy(PolicyDenial::EntityUnknown)
            }
            Self::QuotaExhausted { .. } => Public {
                status: 429,
                reason: "quota_exceeded",
                title: "Request cannot be satisfied as assigned quota has been exceeded",
                detail: "The quota is used up. Try again after the time in Retry-After.",
                challenge: None,
            },
            Self::QuotaStore(_) | Self::QuotaEngine(_) => {
                unavailable("quota_unavailable", "Quotas cannot be counted right now.")
            }
            Self::NotAsked => unavailable(
                self.reason(),
                "This route cannot be guarded as it is set up; its operator finds the cause in the gateway's log.",
            ),
            Self::Configuration => unavailable(
                "configuration",
                "This route's filter has a configuration error; its operator finds it in the gateway's log.",
            ),
        }
    }

    fn challenge(&self, error: Option<&str>, public: &Public, about: &About<'_>) -> String {
        let mut parameters = Vec::new();
        parameters.extend(about.realm.map(|realm| parameter("realm", realm)));
        if let Some(error) = error {
            parameters.push(parameter("error", error));
            parameters.push(parameter("error_description", &public.detail.replace(['`', '<', '>'], "'")));
        }
        if let Self::Token(TokenError::MissingScope(scope)) = self {
            parameters.push(parameter("scope", scope));
        }
        parameters.extend(about.resource_metadata.map(|url| parameter("resource_metadata", url)));
        if parameters.is_empty() { "Bearer".to_owned() } else { format!("Bearer {}", parameters.join(", ")) }
    }

    fn retry_after(&self) -> Option<u32> {
        match self {
            Self::VerificationBudget(spent) => Some(seconds(spent.retry_after)),
            Self::KeysUnavailable { retry_after, .. } => Some(seconds(*retry_after)),
            Self::QuotaExhausted { states, .. } => Some(quota::fields::retry_after_seconds(states)),
            Self::QuotaStore(_)
            | Self::QuotaEngine(_)
            | Self::Configuration
            | Self::NotAsked
            | Self::Policy(
                PolicyDenial::GroupsUnavailable | PolicyDenial::CatalogStale | PolicyDenial::CatalogUnavailable,
            )
            | Self::NoEntity(NoEntity::CatalogUnread) => Some(RETRY_FAULT_SECONDS),
            Self::Headers(_) | Self::Credential(_) | Self::Token(_) | Self::Policy(_) | Self::NoEntity(_) => None,
        }
    }

    fn body(&self, public: &Public, about: &About<'_>) -> Vec<u8> {
        let mut problem = Map::new();
        let kind = if let Self::QuotaExhausted { .. } = self { QUOTA_EXCEEDED } else { "about:blank" };
        problem.insert("type".to_owned(), json!(kind));
        problem.insert("title".to_owned(), json!(public.title));
        problem.insert("status".to_owned(), json!(public.status));
        problem.insert("detail".to_owned(), json!(public.detail));
        problem.insert("reason".to_owned(), json!(public.reason));
        if let Some(entity) = about.entity {
            problem.insert("entity".to_owned(), json!(entity.as_str()));
        }
        if let Some(id) = about.request_id {
            problem.insert("request_id".to_owned(), json!(id));
        }
        if let Self::QuotaExhausted { states, .. } = self {
            problem.insert("violated-policies".to_owned(), json!(quota::fields::violated(states)));
        }
        Value::Object(problem).to_string().into_bytes()
    }
}

/// Whole seconds, not none.
fn seconds(span: Duration) -> u32 {
    u32::try_from(millis(span).div_ceil(1000).max(1)).unwrap_or(u32::MAX)
}

fn invalid_request(detail: &'static str) -> Public {
    let title = "The request is malformed";
    Public { status: 400, reason: "invalid_request", title, detail, challenge: Some(Some("invalid_request")) }
}

fn forbidden(reason: &'static str, detail: &'static str, challenge: Option<Option<&'static str>>) -> Public {
    Public { status: 403, reason, title: "Access is denied", detail, challenge }
}

fn unavailable(reason: &'static str, detail: &'static str) -> Public {
    Public { status: 503, reason, title: "The gateway cannot decide right now", detail, challenge: None }
}

fn policy(denial: PolicyDenial) -> Public {
    match denial {
        PolicyDenial::CredentialsRequired => Public {
            status: 401,
            reason: denial.name(),
            title: "An access token is required",
            detail: "Send an access token as `Authorization: Bearer <token>`.",
            challenge: Some(None),
        },
        PolicyDenial::NoRule => forbidden(denial.name(), "No rule of this API covers this request.", None),
        PolicyDenial::NotAllowed => {
            forbidden(denial.name(), "None of your groups may do this. Ask the owner of the API for access.", None)
        }
        PolicyDenial::GroupsUnknown => forbidden(
            denial.name(),
            "Your token does not list your groups, probably because there are too many. Ask your identity team to limit the groups in it.",
            None,
        ),
        PolicyDenial::GroupsUnavailable => unavailable(
            denial.name(),
            "Your groups are not to be had right now because the issuer of your token does not tell them.",
        ),
        PolicyDenial::EntityUnknown => forbidden(
            denial.name(),
            "Backstage's catalog does not say whose API this is. Ask the platform team to register it.",
            None,
        ),
        PolicyDenial::CatalogStale | PolicyDenial::CatalogUnavailable => unavailable(
            "catalog_unavailable",
            "Whose API this is cannot be told right now because Backstage's catalog is not available.",
        ),
        PolicyDenial::AgentDenied => forbidden(denial.name(), "Agents may not call this API.", None),
        PolicyDenial::AgentReadOnly => forbidden(denial.name(), "Agents may only read this API.", None),
        PolicyDenial::AmbiguousPath => Public {
            challenge: None,
            reason: denial.name(),
            ..invalid_request(
                "The path can be read in more than one way. Send it without encoded slashes, dot segments and ';'.",
            )
        },
    }
}

/// A parameter with a quoted-string value (RFC 9110 §5.6.4).
fn parameter(name: &str, value: &str) -> String {
    format!("{name}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Window;
    use std::collections::BTreeSet;

    fn states() -> Vec<WindowState> {
        let window = |limit, seconds| Window { limit, length: Duration::from_secs(seconds) };
        let state = |window, violated, reset_seconds| WindowState {
            policy: "per-group".into(),
            window,
            remaining: 0,
            reset_seconds,
            violated,
        };
        vec![state(window(600, 60), true, 17), state(window(20_000, 86_400), false, 80_000)]
    }

    fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
        answer.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn each_denial_has_its_status_reason_and_challenge() {
        let spent = |by| BudgetExhausted { by, retry_after: Duration::from_millis(40) };
        let exhausted = Denial::QuotaExhausted { states: states(), x_ratelimit: false };
        let cases = [
            (
                Denial::Credential(CredentialError::Multiple),
                400,
                "invalid_request",
                Some("Bearer error=\"invalid_request\""),
            ),
            (Denial::Token(TokenError::Expired), 401, "invalid_token", Some("Bearer error=\"invalid_token\"")),
            (Denial::Token(TokenError::MissingScope("a b".into())), 403, "insufficient_scope", Some("scope=\"a b\"")),
            (Denial::VerificationBudget(spent(BudgetOwner::Address)), 429, "verification_rate", None),
            (Denial::VerificationBudget(spent(BudgetOwner::Worker)), 503, "verification_busy", None),
            (
                Denial::KeysUnavailable { had_keys: false, retry_after: Duration::from_secs(3) },
                503,
                "keys_unavailable",
                None,
            ),
            (Denial::Policy(PolicyDenial::CredentialsRequired), 401, "credentials_required", Some("Bearer")),
            (Denial::Policy(PolicyDenial::NotAllowed), 403, "not_allowed", None),
            (Denial::Policy(PolicyDenial::AmbiguousPath), 400, "ambiguous_path", None),
            (exhausted, 429, "quota_exceeded", None),
            (Denial::QuotaStore(StoreFault::Unavailable), 503, "quota_unavailable", None),
            (Denial::Configuration, 503, "configuration", None),
            (Denial::NotAsked, 503, "filter_not_asked", None),
            (Denial::Headers(HeaderFault::TooMany), 431, "too_many_headers", None),
            (Denial::Headers(HeaderFault::Repeated("baggage".into())), 400, "header_repeated", None),
        ];
        for (denial, status, reason, challenge) in cases {
            let answer = denial.answer(&About::default());
            let body: Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!((answer.status, body["status"].as_u64()), (status, Some(u64::from(status))), "{denial:?}");
            assert_eq!(body["reason"], reason, "{denial:?}");
            let row = format!("`{}`", denial.reason());
            assert!(include_str!("../kong/reasons.md").contains(&row), "the operator's page has no {row}");
            match (challenge, header(&answer, "www-authenticate")) {
                (None, None) => {}
                (Some(part), Some(found)) => assert!(found.contains(part), "{found}"),
                (wanted, found) => panic!("{denial:?}: {wanted:?} {found:?}"),
            }
            let names: BTreeSet<_> = answer.headers.iter().map(|(name, _)| name).collect();
            assert_eq!(names.len(), answer.headers.len(), "no header name stands twice");
        }
    }

    #[test]
    fn all_faults_of_a_token_read_the_same_to_a_client() {
        let faults = [
            TokenError::Expired,
            TokenError::BadSignature,
            TokenError::UnknownIssuer,
            TokenError::NoKey,
            TokenError::WrongAudience,
            TokenError::Malformed("x"),
            TokenError::RequiredClaim("tenant".into()),
        ];
        let answers: BTreeSet<_> = faults.map(|fault| Denial::Token(fault).answer(&About::default()).body).into();
        assert_eq!(answers.len(), 1);
    }

    #[test]
    fn a_challenge_says_where_to_get_a_token() {
        let about = About {
            realm: Some("pay\"ments"),
            resource_metadata: Some("https://api.example/.well-known/x"),
            ..About::default()
        };
        let answer = Denial::Policy(PolicyDenial::CredentialsRequired).answer(&about);
        let challenge = "Bearer realm=\"pay\\\"ments\", resource_metadata=\"https://api.example/.well-known/x\"";
        assert_eq!(header(&answer, "www-authenticate"), Some(challenge));
    }

    #[test]
    fn an_exhausted_quota_names_what_was_violated_and_when_to_come_back() {
        let answer = Denial::QuotaExhausted { states: states(), x_ratelimit: false }.answer(&About::default());
        assert_eq!(header(&answer, "retry-after"), Some("17"));
        let body: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(body["violated-policies"], json!(["per-group-1m"]));
        assert_eq!(body["type"], QUOTA_EXCEEDED);
    }
}
