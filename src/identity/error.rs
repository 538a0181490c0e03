//! Why a credential or a token is not accepted. The texts are for the log; what clients read is in [`crate::denial`].

/// Why a request's credential could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// A token in more than one place, or a repeated header (RFC 6750 §2: at most one method).
    #[error("more than one credential in the request")]
    Multiple,
    /// The header or cookie is there but is not `<scheme> <token>`.
    #[error("the credential is not of the form `Bearer <token>`")]
    Malformed,
    /// The token is longer than the route accepts.
    #[error("the token has {found} bytes; the route takes at most {limit}")]
    TooLong {
        /// Bytes found.
        found: usize,
        /// Bytes allowed.
        limit: usize,
    },
}

/// Why a token is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a compact JWS with a JSON header and a JSON object as payload, each in canonical base64url.
    #[error("not a compact JWT: {0}")]
    Malformed(&'static str),
    /// `crit` names extensions; this filter knows none (RFC 7515 §4.1.11).
    #[error("has critical header parameters that are not understood")]
    Critical,
    /// `iss` is missing or is no issuer of this route.
    #[error("issuer is not configured for this route")]
    UnknownIssuer,
    /// `typ` is not what the issuer's tokens must have.
    #[error("typ is not one the issuer's tokens have here")]
    WrongType,
    /// `alg` is not one the issuer may use here.
    #[error("algorithm is not in the issuer's allow-list")]
    AlgorithmNotAllowed,
    /// No key of the issuer fits the token's `kid` and `alg`, and its key set is fresh.
    #[error("no key of the issuer fits the token")]
    NoKey,
    /// The signature does not fit.
    #[error("signature does not verify")]
    BadSignature,
    /// A claim that the token must have is missing: a registered one, or the one that names the audiences.
    #[error("claim {0} is missing")]
    MissingClaim(String),
    /// A registered claim is not of its type, such as `exp` as a string.
    #[error("claim {0} is malformed")]
    MalformedClaim(String),
    /// Past `exp`.
    #[error("expired")]
    Expired,
    /// Before `nbf`.
    #[error("not valid yet")]
    NotYetValid,
    /// `iat` is in the future.
    #[error("issued in the future")]
    IssuedInFuture,
    /// Longer-lived than the issuer's tokens may be.
    #[error("lives longer than the issuer's tokens may")]
    LivesTooLong,
    /// `aud` does not hold what it must.
    #[error("audience is not this route's")]
    WrongAudience,
    /// A required claim is missing or has another value.
    #[error("required claim {0} is missing or has another value")]
    RequiredClaim(String),
    /// The token names no client, as the access tokens of its issuer do: it is meant for something else, as an ID token is.
    #[error("names no client, as the issuer's access tokens do; it may be an ID token")]
    NoClient,
    /// The issuer was asked about the token and does not know it any more, or names somebody else.
    #[error("the issuer's userinfo refuses the token or names another subject")]
    RefusedByIssuer,
    /// A required scope is missing.
    #[error("scope {0} is missing")]
    MissingScope(String),
    /// The token names no usable principal.
    #[error("claim {0} does not name a user, a service or an agent")]
    NoPrincipal(String),
}

impl CredentialError {
    /// The word for it in the audit trail and in metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Multiple => "credential_multiple",
            Self::Malformed => "credential_malformed",
            Self::TooLong { .. } => "credential_too_long",
        }
    }
}

impl TokenError {
    /// The word for it in the audit trail and in metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "token_malformed",
            Self::Critical => "token_critical",
            Self::UnknownIssuer => "unknown_issuer",
            Self::WrongType => "wrong_type",
            Self::AlgorithmNotAllowed => "algorithm_not_allowed",
            Self::NoKey => "no_key",
            Self::BadSignature => "bad_signature",
            Self::MissingClaim(_) => "missing_claim",
            Self::MalformedClaim(_) => "malformed_claim",
            Self::Expired => "token_expired",
            Self::NotYetValid => "not_yet_valid",
            Self::IssuedInFuture => "issued_in_future",
            Self::LivesTooLong => "lives_too_long",
            Self::WrongAudience => "wrong_audience",
            Self::RequiredClaim(_) => "required_claim",
            Self::NoClient => "no_client",
            Self::RefusedByIssuer => "refused_by_issuer",
            Self::MissingScope(_) => "missing_scope",
            Self::NoPrincipal(_) => "no_principal",
        }
    }
}
