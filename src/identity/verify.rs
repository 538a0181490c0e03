//! Verification: the cheap checks first, then the signature, then what only a holder of a signed token may learn.
//!
//! Before the signature is verified, of the payload only those claims are built that the cheap checks read ([`super::peek`]).

use super::claims::{Claims, Names};
use super::signatures::Signature;
use super::{TokenError, client};
use crate::config::{Audiences, Issuer, Secret};
use crate::host::UnixMillis;
use crate::jose::{Algorithm, Cost, Key, KeyId, KeySet, Life, MAX_KID, verify_hmac};
use crate::json::{Object, is_there, not_null};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use std::rc::Rc;

/// Longest header part, in bytes.
const MAX_HEADER: usize = 4096;

/// The header. `crit`, `b64` and `enc` change what a token means (RFC 7515 §4.1.11, RFC 7797 §3), so it is asked whether they are
/// there. All that name keys or certificates (`jwk`, `jku`, `x5u`, `x5c`) are left unread.
#[derive(Deserialize)]
struct TokenHeader {
    alg: String,
    #[serde(default, deserialize_with = "not_null")]
    kid: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    typ: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    cty: Option<String>,
    #[serde(default, deserialize_with = "is_there")]
    crit: bool,
    #[serde(default, deserialize_with = "is_there")]
    b64: bool,
    #[serde(default, rename = "enc", deserialize_with = "is_there")]
    encryption: bool,
}

impl TokenHeader {
    /// Reads it. That the whole is UTF-8 (RFC 7515 §5.2) is looked at first: serde does not look into members that are skipped.
    fn read(part: &str) -> Result<Self, TokenError> {
        if part.len() > MAX_HEADER {
            return Err(TokenError::Malformed("the header or its kid is too long"));
        }
        let bytes = decode(part, "the header is not base64url")?;
        let text = std::str::from_utf8(&bytes).map_err(|_| TokenError::Malformed("the header is not UTF-8"))?;
        let Object(header) = serde_json::from_str::<Object<Self>>(text)
            .map_err(|_| TokenError::Malformed("the header does not parse"))?;
        if header.crit || header.b64 || header.encryption {
            return Err(TokenError::Critical);
        }
        if header.kid.as_ref().is_some_and(|kid| kid.len() > MAX_KID) {
            return Err(TokenError::Malformed("the header or its kid is too long"));
        }
        if header.cty.as_ref().is_some_and(|content| !content.eq_ignore_ascii_case("json")) {
            return Err(TokenError::Malformed("its content is said to be something else than JSON"));
        }
        Ok(header)
    }
}

/// A token that passed the cheap checks: of a known issuer, in time, and for this route, if only its signature is right.
pub struct Unverified {
    issuer: Rc<Issuer>,
    algorithm: Algorithm,
    kid: Option<String>,
    payload: Vec<u8>,
    expires: UnixMillis,
    message: String,
    signature: Vec<u8>,
}

/// A token whose signature is right.
pub struct Signed {
    /// Who issued it.
    pub issuer: Rc<Issuer>,
    /// When it ends, leeway included, or when its key does.
    pub expires: UnixMillis,
    /// The key that signed it; a digest of nothing for a shared secret, which does not go away.
    pub key: KeyId,
    /// What it says, or why that is refused. It is the same each time under the same settings.
    pub claims: Result<Claims, TokenError>,
}

/// A token whose signature is right and whose claims are accepted.
pub struct Verified {
    /// Who issued it.
    pub issuer: Rc<Issuer>,
    /// What it says.
    pub claims: Claims,
    /// When it ends, leeway included, or when its key does.
    pub expires: UnixMillis,
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
        let TokenParts { message, header, payload, signature } = split(token)?;
        let header = TokenHeader::read(header)?;
        let signature = decode(signature, "the signature is not base64url")?;
        let payload = decode(payload, "the payload is not base64url")?;
        let claims = Claims::peek(&payload, issuers)?;
        let issuer = claims.member("iss").and_then(|iss| issuers.iter().find(|issuer| *iss == issuer.issuer.as_str()));
        let issuer = issuer.ok_or(TokenError::UnknownIssuer)?.clone();
        let algorithm = Algorithm::from_name(&header.alg).filter(|name| issuer.algorithms.contains(name));
        let algorithm = algorithm.ok_or(TokenError::AlgorithmNotAllowed)?;
        check_type(&issuer, header.typ.as_deref())?;
        let expires = check_times(&issuer, &claims, now)?;
        // A claim that a pointer leads to is not built yet.
        let audience = &issuer.claims.audience.0;
        if claims.member(audience).is_some() || !audience.starts_with('/') {
            check_audience(&issuer, &claims)?;
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
        let is_empty = match &candidates {
            Candidates::Keys(keys) => keys.is_empty(),
            Candidates::Secrets(secrets) => secrets.is_empty(),
        };
        if is_empty { Err(TokenError::NoKey) } else { Ok(Attempt { token: self, candidates }) }
    }
}

impl Attempt<'_> {
    /// What it costs to find the signature wrong: each key is tried.
    pub fn cost(&self) -> Cost {
        match &self.candidates {
            Candidates::Keys(keys) => keys.iter().map(|key| key.cost()).sum(),
            Candidates::Secrets(secrets) => secrets.iter().map(|_| Cost::HMAC).sum(),
        }
    }

    /// What is signed, and the signature.
    pub fn signature(&self) -> Signature<'_> {
        Signature { message: self.token.message.as_bytes(), bytes: &self.token.signature }
    }

    /// Verifies the signature. Only then all claims are read and checked: what is missing is for holders of a signed token to
    /// know.
    ///
    /// # Errors
    /// [`TokenError::BadSignature`] and nothing else.
    pub fn verify(&self) -> Result<Signed, TokenError> {
        let algorithm = self.token.algorithm;
        let Signature { message, bytes } = self.signature();
        let signer = match &self.candidates {
            Candidates::Keys(keys) => {
                keys.iter().find(|key| key.verify(algorithm, message, bytes)).map(|key| (key.id(), key.life()))
            }
            Candidates::Secrets(secrets) => secrets
                .iter()
                .find(|secret| verify_hmac(algorithm, &secret.bytes, message, bytes))
                .map(|secret| (KeyId([0; 16]), secret.life)),
        };
        signer.map(|(key, life)| self.signed(key, life)).ok_or(TokenError::BadSignature)
    }

    /// The same without looking at the signature, where it is known that this key made it. `None` where the key is not one that
    /// may have signed the token: it was withdrawn, has ended, or is another issuer's.
    pub fn signed_by(&self, key: KeyId) -> Option<Signed> {
        let Candidates::Keys(keys) = &self.candidates else { return None };
        let key = keys.iter().find(|candidate| candidate.id() == key)?;
        Some(self.signed(key.id(), key.life()))
    }

    fn signed(&self, key: KeyId, life: Life) -> Signed {
        let Unverified { issuer, expires, payload, .. } = self.token;
        let expires = life.not_after.map_or(*expires, |end| end.min(*expires));
        let claims = Claims::parse(payload).and_then(|claims| check_claims(issuer, &claims).map(|()| claims));
        Signed { issuer: issuer.clone(), expires, key, claims }
    }
}

/// The parts of a compact JWS.
struct TokenParts<'a> {
    /// What is signed: header and payload.
    message: &'a str,
    header: &'a str,
    payload: &'a str,
    signature: &'a str,
}

/// Three parts, none empty.
fn split(token: &str) -> Result<TokenParts<'_>, TokenError> {
    let parts = token.rsplit_once('.').and_then(|(message, signature)| {
        let (header, payload) = message.split_once('.')?;
        Some(TokenParts { message, header, payload, signature })
    });
    let is_whole = |parts: &TokenParts<'_>| {
        let TokenParts { header, payload, signature, .. } = parts;
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
    let found = match claims.names(name) {
        Names::List(found) => found,
        Names::Absent if claims.get(name).is_none() => return Err(TokenError::MissingClaim(name.0.clone())),
        Names::Absent | Names::Malformed => return Err(TokenError::MalformedClaim(name.0.clone())),
    };
    let has = |audience: &String| found.contains(&audience.as_str());
    let fits = match audiences {
        Audiences::AllOf(_) => wanted.iter().all(has),
        Audiences::AnyOf(_) | Audiences::Unchecked => wanted.iter().any(has),
    };
    if fits { Ok(()) } else { Err(TokenError::WrongAudience) }
}

/// All that a signed token has to say. Issuer and times were checked before, and no payload says them twice.
fn check_claims(issuer: &Issuer, claims: &Claims) -> Result<(), TokenError> {
    check_audience(issuer, claims)?;
    if let Some((name, _)) = issuer.required_claims.iter().find(|(name, value)| !claims.holds(name, value)) {
        return Err(TokenError::RequiredClaim(name.0.clone()));
    }
    if issuer.client_required && client(issuer, claims).is_none() {
        return Err(TokenError::NoClient);
    }
    if let Some(missing) = issuer.required_scopes.iter().find(|scope| !claims.has_scope(scope)) {
        return Err(TokenError::MissingScope(missing.clone()));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
