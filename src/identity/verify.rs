//! Verification: the cheap checks first, then the signature, then what only a holder of a verified token may learn.

use super::claims::{Claims, Names};
use super::{TokenError, client};
use crate::config::{Algorithm, Audiences, Issuer, Secret};
use crate::host::UnixMillis;
use crate::jose::{KeyId, KeySet, MAX_KID, verify_hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_compact::UntrustedToken;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::rc::Rc;

/// Longest header part, in bytes.
const MAX_HEADER: usize = 4096;

/// Header parameters that change what a token means (RFC 7515 §4.1.11, RFC 7797 §3). All that name keys or certificates
/// (`jwk`, `jku`, `x5u`, `x5c`) are left unread.
#[derive(Debug, Clone, Deserialize)]
struct Critical {
    crit: Option<IgnoredAny>,
    b64: Option<IgnoredAny>,
    #[serde(rename = "enc")]
    encryption: Option<IgnoredAny>,
}

/// A token whose claims would do, if only its signature holds.
pub struct Unverified {
    issuer: Rc<Issuer>,
    algorithm: Algorithm,
    kid: Option<String>,
    claims: Claims,
    expires: UnixMillis,
    message: String,
    signature: Vec<u8>,
}

/// A token that holds.
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

impl Unverified {
    /// Checks all that needs no key.
    ///
    /// # Errors
    /// The first check that fails, in order of cost.
    pub fn parse(token: &str, issuers: &[Rc<Issuer>], now: UnixMillis) -> Result<Self, TokenError> {
        let (message, header) = split(token)?;
        let parsed = UntrustedToken::<Critical>::try_from(token)
            .map_err(|_| TokenError::Malformed("the header or an encoding does not parse"))?;
        let critical = &parsed.header().other_fields;
        if critical.crit.is_some() || critical.b64.is_some() || critical.encryption.is_some() {
            return Err(TokenError::Critical);
        }
        let kid = parsed.header().key_id.clone();
        if header.len() > MAX_HEADER || kid.as_ref().is_some_and(|kid| kid.len() > MAX_KID) {
            return Err(TokenError::Malformed("the header or its kid is too long"));
        }
        let payload = message.get(header.len() + 1..).unwrap_or_default();
        let payload =
            URL_SAFE_NO_PAD.decode(payload).map_err(|_| TokenError::Malformed("the payload is not base64url"))?;
        let claims = Claims::parse(&payload)?;
        let issuer = claims.member("iss").and_then(|iss| issuers.iter().find(|issuer| *iss == issuer.issuer.as_str()));
        let issuer = issuer.ok_or(TokenError::UnknownIssuer)?.clone();
        let algorithm = Algorithm::from_name(parsed.algorithm()).filter(|name| issuer.algorithms.contains(name));
        let algorithm = algorithm.ok_or(TokenError::AlgorithmNotAllowed)?;
        check_type(&issuer, parsed.header().token_type.as_deref())?;
        let expires = check_times(&issuer, &claims, now)?;
        check_audience(&issuer, &claims)?;
        check_claims(&issuer, &claims)?;
        let signature = parsed.signature_bytes().to_vec();
        Ok(Self { issuer, algorithm, kid, claims, expires, message: message.to_owned(), signature })
    }

    /// Who the token says issued it.
    pub fn issuer(&self) -> &Rc<Issuer> {
        &self.issuer
    }

    /// The algorithm that it says it was signed with, one that the issuer may use.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key that it says it was signed with.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Verifies the signature, then the scopes: that a scope is missing is for holders of a valid token to know.
    ///
    /// # Errors
    /// [`TokenError::NoKey`] where no key fits, so that newer keys may be fetched and asked; else what does not hold.
    pub fn verify(&self, keys: Keys<'_>, now: UnixMillis) -> Result<Verified, TokenError> {
        let message = self.message.as_bytes();
        let (key, life) = match keys {
            Keys::Set(set) => {
                let mut candidates = set.candidates(self.kid.as_deref(), self.algorithm, now).peekable();
                candidates.peek().ok_or(TokenError::NoKey)?;
                let key = candidates.find(|key| key.verify(self.algorithm, message, &self.signature));
                key.map(|key| (key.id(), key.life())).ok_or(TokenError::BadSignature)?
            }
            Keys::Secrets(secrets) => {
                let named = |secret: &&Secret| secret.kid.is_none() || self.kid.is_none() || secret.kid == self.kid;
                let mut candidates = secrets.iter().filter(named).filter(|secret| secret.life.is_on(now)).peekable();
                candidates.peek().ok_or(TokenError::NoKey)?;
                let holds = |secret: &&Secret| verify_hmac(self.algorithm, &secret.bytes, message, &self.signature);
                let secret = candidates.find(holds).ok_or(TokenError::BadSignature)?;
                (KeyId([0; 16]), secret.life)
            }
        };
        let expires = life.not_after.map_or(self.expires, |end| end.min(self.expires));
        if let Some(missing) = self.issuer.required_scopes.iter().find(|scope| !self.claims.has_scope(scope)) {
            return Err(TokenError::MissingScope(missing.clone()));
        }
        Ok(Verified { issuer: self.issuer.clone(), claims: self.claims.clone(), expires, key })
    }
}

/// The signed part and the header part of a compact JWS: three parts, none empty.
fn split(token: &str) -> Result<(&str, &str), TokenError> {
    let mut parts = token.split('.');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(header), Some(payload), Some(signature), None)
            if !header.is_empty() && !payload.is_empty() && !signature.is_empty() =>
        {
            let message = token.get(..header.len() + 1 + payload.len()).unwrap_or_default();
            Ok((message, header))
        }
        _ => Err(TokenError::Malformed("it does not have three parts")),
    }
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

fn check_claims(issuer: &Issuer, claims: &Claims) -> Result<(), TokenError> {
    if let Some((name, _)) = issuer.required_claims.iter().find(|(name, value)| !claims.holds(name, value)) {
        return Err(TokenError::RequiredClaim(name.0.clone()));
    }
    if issuer.client_required && client(issuer, claims).is_none() {
        return Err(TokenError::NoClient);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
