//! Verification: the cheap checks first, then the signature, then what only a holder of a signed token may learn.
//!
//! Nothing that a stranger sends is built as a whole before its signature holds ([`super::glance`]).

use super::claims::{Claims, Names};
use super::{TokenError, client};
use crate::config::{Algorithm, Audiences, Issuer, Secret};
use crate::host::UnixMillis;
use crate::jose::{HMAC_COST, Key, KeyId, KeySet, MAX_KID, verify_hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::rc::Rc;

/// Longest header part, in bytes.
const MAX_HEADER: usize = 4096;

/// The header. `crit`, `b64` and `enc` change what a token means (RFC 7515 §4.1.11, RFC 7797 §3). All that name keys or
/// certificates (`jwk`, `jku`, `x5u`, `x5c`) are left unread.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    cty: Option<String>,
    crit: Option<IgnoredAny>,
    b64: Option<IgnoredAny>,
    #[serde(rename = "enc")]
    encryption: Option<IgnoredAny>,
}

/// A token that is worth verifying: of a known issuer, in time, and meant for this route, if only its signature holds.
pub struct Unverified {
    issuer: Rc<Issuer>,
    algorithm: Algorithm,
    kid: Option<String>,
    payload: Vec<u8>,
    expires: UnixMillis,
    message: String,
    signature: Vec<u8>,
}

/// A token whose signature holds, whatever it says.
pub struct Signed {
    /// Who issued it.
    pub issuer: Rc<Issuer>,
    /// When it ends, leeway included, or when its key does.
    pub expires: UnixMillis,
    /// The key that signed it; a digest of nothing for a shared secret, which does not go away.
    pub key: KeyId,
    /// What it says, or why that does not do: always the same under the same settings.
    pub claims: Result<Claims, TokenError>,
}

/// A token that holds, and says what it must.
pub struct Verified {
    /// Who issued it.
    pub issuer: Rc<Issuer>,
    /// What it says.
    pub claims: Claims,
    /// When it ends, leeway included, or when its key does.
    pub expires: UnixMillis,
    /// The key that signed it; a digest of nothing for a shared secret, which does not go away.
    pub key: KeyId,
}

/// What a signature is verified with.
#[derive(Clone, Copy)]
pub enum Keys<'a> {
    /// Public keys.
    Set(&'a KeySet),
    /// Shared secrets.
    Secrets(&'a [Secret]),
}

/// A token and the keys that it may have been signed with.
pub struct Attempt<'a> {
    token: &'a Unverified,
    candidates: Candidates<'a>,
}

enum Candidates<'a> {
    Keys(Vec<&'a Key>),
    Secrets(Vec<&'a Secret>),
}

impl Unverified {
    /// Checks all that needs no key.
    ///
    /// # Errors
    /// The first check that fails, in order of cost.
    pub fn parse(token: &str, issuers: &[Rc<Issuer>], now: UnixMillis) -> Result<Self, TokenError> {
        let Parts { message, header, payload, signature } = split(token)?;
        if header.len() > MAX_HEADER {
            return Err(TokenError::Malformed("the header or its kid is too long"));
        }
        let header: Header = serde_json::from_slice(&decode(header, "the header is not base64url")?)
            .map_err(|_| TokenError::Malformed("the header does not parse"))?;
        if header.crit.is_some() || header.b64.is_some() || header.encryption.is_some() {
            return Err(TokenError::Critical);
        }
        if header.kid.as_ref().is_some_and(|kid| kid.len() > MAX_KID) {
            return Err(TokenError::Malformed("the header or its kid is too long"));
        }
        if header.cty.is_some_and(|content| !content.eq_ignore_ascii_case("json")) {
            return Err(TokenError::Malformed("its content is said to be something else than JSON"));
        }
        let signature = decode(signature, "the signature is not base64url")?;
        let payload = decode(payload, "the payload is not base64url")?;
        let glance = Claims::glance(&payload, issuers)?;
        let issuer = glance.member("iss").and_then(|iss| issuers.iter().find(|issuer| *iss == issuer.issuer.as_str()));
        let issuer = issuer.ok_or(TokenError::UnknownIssuer)?.clone();
        let algorithm = Algorithm::from_name(&header.alg).filter(|name| issuer.algorithms.contains(name));
        let algorithm = algorithm.ok_or(TokenError::AlgorithmNotAllowed)?;
        check_type(&issuer, header.typ.as_deref())?;
        let expires = check_times(&issuer, &glance, now)?;
        // What a pointer leads to is not in a glance.
        let audience = &issuer.claims.audience.0;
        if glance.member(audience).is_some() || !audience.starts_with('/') {
            check_audience(&issuer, &glance)?;
        }
        Ok(Self { issuer, algorithm, kid: header.kid, payload, expires, message: message.to_owned(), signature })
    }

    /// Who the token says issued it.
    pub fn issuer(&self) -> &Rc<Issuer> {
        &self.issuer
    }

    /// The keys that the token may have been signed with; to look for them is cheap, to try them is not.
    ///
    /// # Errors
    /// [`TokenError::NoKey`] where no key fits, so that newer keys may be fetched and asked.
    pub fn attempt<'a>(&'a self, keys: Keys<'a>, now: UnixMillis) -> Result<Attempt<'a>, TokenError> {
        let candidates = match keys {
            Keys::Set(set) => Candidates::Keys(set.candidates(self.kid.as_deref(), self.algorithm, now).collect()),
            Keys::Secrets(secrets) => {
                let named = |secret: &&Secret| secret.kid.is_none() || self.kid.is_none() || secret.kid == self.kid;
                Candidates::Secrets(secrets.iter().filter(named).filter(|secret| secret.life.is_on(now)).collect())
            }
        };
        let attempt = Attempt { token: self, candidates };
        if attempt.is_empty() { Err(TokenError::NoKey) } else { Ok(attempt) }
    }
}

impl Attempt<'_> {
    fn is_empty(&self) -> bool {
        match &self.candidates {
            Candidates::Keys(keys) => keys.is_empty(),
            Candidates::Secrets(secrets) => secrets.is_empty(),
        }
    }

    /// What it costs to know that the token does not hold, in thousandths of a unit ([`crate::jose::Key::cost`]).
    pub fn cost(&self) -> u32 {
        match &self.candidates {
            Candidates::Keys(keys) => keys.iter().map(|key| key.cost()).fold(0, u32::saturating_add),
            Candidates::Secrets(secrets) => HMAC_COST.saturating_mul(u32::try_from(secrets.len()).unwrap_or(u32::MAX)),
        }
    }

    /// Verifies the signature, and only then reads and checks all claims: what is missing is for holders of a signed token to
    /// know.
    ///
    /// # Errors
    /// [`TokenError::BadSignature`] and nothing else.
    pub fn verify(&self) -> Result<Signed, TokenError> {
        let Unverified { issuer, algorithm, payload, expires, message, signature, .. } = self.token;
        let message = message.as_bytes();
        let (key, life) = match &self.candidates {
            Candidates::Keys(keys) => {
                let key = keys.iter().find(|key| key.verify(*algorithm, message, signature));
                key.map(|key| (key.id(), key.life()))
            }
            Candidates::Secrets(secrets) => {
                let holds = |secret: &&&Secret| verify_hmac(*algorithm, &secret.bytes, message, signature);
                secrets.iter().find(holds).map(|secret| (KeyId([0; 16]), secret.life))
            }
        }
        .ok_or(TokenError::BadSignature)?;
        let expires = life.not_after.map_or(*expires, |end| end.min(*expires));
        let claims = Claims::parse(payload).and_then(|claims| check_claims(issuer, &claims).map(|()| claims));
        Ok(Signed { issuer: issuer.clone(), expires, key, claims })
    }
}

/// The parts of a compact JWS.
struct Parts<'a> {
    /// What is signed: header and payload.
    message: &'a str,
    header: &'a str,
    payload: &'a str,
    signature: &'a str,
}

/// Three parts, none empty.
fn split(token: &str) -> Result<Parts<'_>, TokenError> {
    let parts = token.rsplit_once('.').and_then(|(message, signature)| {
        let (header, payload) = message.split_once('.')?;
        Some(Parts { message, header, payload, signature })
    });
    let is_whole = |parts: &Parts<'_>| {
        let Parts { header, payload, signature, .. } = parts;
        !header.is_empty() && !payload.is_empty() && !payload.contains('.') && !signature.is_empty()
    };
    parts.filter(is_whole).ok_or(TokenError::Malformed("it does not have three parts"))
}

/// Each part has one encoding: other alphabets, padding and bits left over are refused.
fn decode(part: &str, fault: &'static str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed(fault))
}

/// `application/` may be left out and case does not count (RFC 7515 §4.1.9).
fn check_type(issuer: &Issuer, typ: Option<&str>) -> Result<(), TokenError> {
    if issuer.typ.is_empty() {
        return Ok(());
    }
    let typ = typ.unwrap_or_default().to_ascii_lowercase();
    let typ = typ.strip_prefix("application/").unwrap_or(&typ);
    if issuer.typ.iter().any(|known| known == typ) { Ok(()) } else { Err(TokenError::WrongType) }
}

fn check_times(issuer: &Issuer, claims: &Claims, now: UnixMillis) -> Result<UnixMillis, TokenError> {
    let leeway = issuer.leeway;
    let ends = claims.date("exp")?.ok_or(TokenError::MissingClaim("exp".into()))?;
    let begins = claims.date("nbf")?;
    let issued = claims.date("iat")?;
    let expires = ends.after(leeway);
    if now >= expires {
        return Err(TokenError::Expired);
    }
    if begins.is_some_and(|begins| begins > now.after(leeway)) {
        return Err(TokenError::NotYetValid);
    }
    if issued.is_some_and(|issued| issued > now.after(leeway)) {
        return Err(TokenError::IssuedInFuture);
    }
    if let Some(longest) = issuer.max_lifetime {
        let issued = issued.ok_or(TokenError::MissingClaim("iat".into()))?;
        if ends > issued.after(longest) {
            return Err(TokenError::LivesTooLong);
        }
    }
    Ok(expires)
}

/// `aud` is a string or an array of them (RFC 7519 §4.1.3); a string is one audience, whatever spaces it has.
fn check_audience(issuer: &Issuer, claims: &Claims) -> Result<(), TokenError> {
    let (audiences, name) = (&issuer.audiences, &issuer.claims.audience);
    let wanted = match audiences {
        Audiences::Unchecked => return Ok(()),
        Audiences::AnyOf(wanted) | Audiences::AllOf(wanted) => wanted,
    };
    let found = match claims.get(name) {
        None => return Err(TokenError::MissingClaim(name.0.clone())),
        Some(serde_json::Value::String(audience)) => vec![audience.as_str()],
        Some(_) => match claims.names(name) {
            Names::List(found) => found,
            Names::Absent | Names::Malformed => return Err(TokenError::MalformedClaim(name.0.clone())),
        },
    };
    let has = |audience: &String| found.contains(&audience.as_str());
    let fits = match audiences {
        Audiences::AllOf(_) => wanted.iter().all(has),
        Audiences::AnyOf(_) | Audiences::Unchecked => wanted.iter().any(has),
    };
    if fits { Ok(()) } else { Err(TokenError::WrongAudience) }
}

/// All that a signed token has to say. Its issuer and its times are the ones that were glanced at, for no payload says
/// them twice.
fn check_claims(issuer: &Issuer, claims: &Claims) -> Result<(), TokenError> {
    check_audience(issuer, claims)?;
    if let Some((name, _)) = issuer.required_claims.iter().find(|(name, value)| !claims.holds(name, value)) {
        return Err(TokenError::RequiredClaim(name.0.clone()));
    }
    if issuer.client_required && client(issuer, claims).is_none() {
        return Err(TokenError::NoClient);
    }
    match issuer.required_scopes.iter().find(|scope| !claims.has_scope(scope)) {
        Some(missing) => Err(TokenError::MissingScope(missing.clone())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
