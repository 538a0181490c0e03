//! JWK sets (RFC 7517 §5).

use super::Algorithm;
use super::cost::Cost;
use super::jwk::{Jwk, SkipReason};
use super::key::{Key, KeyId};
use super::life::Life;
use crate::host::UnixMillis;
use crate::json::Object;
use serde::Deserialize;
use serde_json::Value;
use std::fmt;

/// Largest set that is read, in bytes.
pub const MAX_KEY_SET_BYTES: usize = 256 * 1024;
/// Most keys that are read of a set.
const MAX_KEYS: usize = 100;

/// The usable keys of a set.
#[derive(Debug, Clone, Default)]
pub struct KeySet {
    keys: Vec<Key>,
    skipped: Vec<SkippedKey>,
}

/// A key that was left out; the others of its set stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedKey {
    /// Its place in the set.
    pub index: usize,
    /// Its `kid`, where it has one.
    pub kid: Option<String>,
    /// Why.
    pub reason: SkipReason,
}

impl fmt::Display for SkippedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kid {
            Some(kid) => write!(f, "key {} (kid {kid:?}) {}", self.index, self.reason),
            None => write!(f, "key {} {}", self.index, self.reason),
        }
    }
}

/// Why something is no key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// More bytes than a set may have.
    #[error("has more than {MAX_KEY_SET_BYTES} bytes")]
    TooLarge,
    /// More keys than a set may have.
    #[error("has more than {MAX_KEYS} keys")]
    TooMany,
    /// Not a JSON object with an array `keys`.
    #[error("is not a JSON object with an array `keys`")]
    Malformed,
}

#[derive(Deserialize)]
struct RawSet {
    keys: Vec<Value>,
}

impl KeySet {
    /// Reads a set. Keys that cannot be used are left out; a set may come out empty.
    ///
    /// # Errors
    /// [`KeySetError`] for what is no set at all.
    pub fn parse(text: &[u8]) -> Result<Self, KeySetError> {
        if text.len() > MAX_KEY_SET_BYTES {
            return Err(KeySetError::TooLarge);
        }
        let Object(raw) = serde_json::from_slice::<Object<RawSet>>(text).map_err(|_| KeySetError::Malformed)?;
        if raw.keys.len() > MAX_KEYS {
            return Err(KeySetError::TooMany);
        }
        let mut set = Self::default();
        for (index, jwk) in raw.keys.into_iter().enumerate() {
            let kid = jwk.get("kid").and_then(Value::as_str).map(str::to_owned);
            let parsed = serde_json::from_value::<Object<Jwk>>(jwk).map_err(|_| SkipReason::Malformed);
            match parsed.and_then(|Object(jwk)| jwk.key()) {
                Ok(key) => set.keys.push(key),
                Err(reason) => set.skipped.push(SkippedKey { index, kid, reason }),
            }
        }
        Ok(set)
    }

    /// Whether no key can be used.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys that were left out.
    pub fn skipped(&self) -> &[SkippedKey] {
        &self.skipped
    }

    /// Whether the key is in the set.
    pub fn has(&self, id: KeyId) -> bool {
        self.keys.iter().any(|key| key.id == id)
    }

    /// The usable keys.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// Gives each key, in the order of the set, the dates that the configuration has for it.
    pub fn set_lives(&mut self, lives: &[Life]) {
        for (key, life) in self.keys.iter_mut().zip(lives) {
            key.life = *life;
        }
    }

    /// The `kid` and the dates of each key.
    pub fn lives(&self) -> impl Iterator<Item = (Option<&str>, Life)> {
        self.keys.iter().map(|key| (key.kid.as_deref(), key.life))
    }

    /// The keys that a token with this `kid` and algorithm may have been signed with. A key without a `kid` may be any; one
    /// that has ended is none. There are as many as [`Cost::MAX`] allows: five on P-384, twenty on P-256, more of other types.
    pub fn candidates<'a>(
        &'a self,
        kid: Option<&'a str>,
        algorithm: Algorithm,
        now: UnixMillis,
    ) -> impl Iterator<Item = &'a Key> {
        let named = move |key: &&Key| match (kid, key.kid.as_deref()) {
            (Some(kid), Some(known)) => kid == known,
            _ => true,
        };
        self.keys.iter().filter(named).filter(move |key| key.fits(algorithm) && key.life.is_on(now)).scan(
            Cost::default(),
            |cost, key| {
                *cost += key.cost();
                (*cost <= Cost::MAX).then_some(key)
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;
    use serde_json::json;

    /// The published weak modulus of 2048 bits (see `roca`).
    const WEAK: &str = "nc10IOQgwnCmgGDri1qnRXqfZkj4b6_tJ3XMH3muli8eY_G55RxV-epv3HMy6bAFjJ_y6x_ImFUCnPaq_iHmif6zisn_sS8c43G7XQ6armQWGrznS0JEv2jx7bRBH3VqCXyJKcFHQCReo1X4My0ao2u1DH3LRQXajeAuTlPTj43wYJfadSTfDfk9tI6sjMSvLToWJX6ysq3Ka6Rk5ZdPqSVQ0xsbq_Fh52ktALhuPdiG7KtKv74aj4zCY_9K9VzbRfQkmlGTkl9emD12LwtoAJQ-sCZ7CPQu0xHOH1yG6svIzk08t6L-4e9WQUI6HPQRTl7PUANKYKQSUjr55vSqEQ";

    fn es256() -> Value {
        serde_json::from_str::<Value>(testing::jwks()).unwrap()["keys"][0].clone()
    }

    fn with(member: &str, value: Value) -> Value {
        let mut key = es256();
        key[member] = value;
        key
    }

    /// The members of a key, in the order in which they are read.
    fn as_array(key: &Value) -> Value {
        ["kty", "use", "key_ops", "alg", "kid", "crv", "x", "y", "n", "e"]
            .iter()
            .map(|name| key[*name].clone())
            .collect()
    }

    fn set(keys: &[Value]) -> KeySet {
        KeySet::parse(json!({"keys": keys}).to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_bad_key_is_left_out_with_its_reason_and_the_good_ones_stay() {
        let cases = [
            (json!(7), SkipReason::Malformed),
            (json!({}), SkipReason::Malformed),
            (as_array(&es256()), SkipReason::Malformed),
            (json!([es256()]), SkipReason::Malformed),
            (with("kid", Value::Null), SkipReason::Malformed),
            (json!({"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}), SkipReason::Type),
            (with("kty", json!("OKP")), SkipReason::Type),
            (with("crv", json!("P-521")), SkipReason::Type),
            (with("crv", json!("P-384")), SkipReason::Invalid),
            (with("use", json!("enc")), SkipReason::Use),
            (with("key_ops", json!(["sign"])), SkipReason::Use),
            (with("alg", json!("RS256")), SkipReason::Algorithm),
            (with("alg", json!("ES384")), SkipReason::Algorithm),
            (with("alg", json!("none")), SkipReason::Algorithm),
            (with("x", json!("AAAA")), SkipReason::Invalid),
            (with("x", json!("not base64!")), SkipReason::Malformed),
            (with("kid", json!(7)), SkipReason::Malformed),
            (with("kid", json!("k".repeat(300))), SkipReason::Malformed),
            (json!({"kty": "RSA", "e": "AQAB", "n": "AQ"}), SkipReason::Invalid),
            (json!({"kty": "RSA", "e": "AQAB", "n": "_".repeat(1368)}), SkipReason::Invalid),
            (json!({"kty": "RSA", "e": "AQAB", "n": WEAK}), SkipReason::Weak),
        ];
        for (bad, reason) in cases {
            let set = set(&[bad.clone(), es256()]);
            assert_eq!(set.skipped().iter().map(|key| key.reason).collect::<Vec<_>>(), [reason], "{bad}");
            assert_eq!(set.candidates(Some("es256"), Algorithm::Es256, UnixMillis(0)).count(), 1);
        }
    }

    #[test]
    fn what_is_no_set_is_refused_and_an_empty_set_is_one() {
        for text in ["", "<html>", "[]", "{}", "{\"keys\":{}}", "null", "[[]]", "[{\"keys\":[]}]"] {
            assert_eq!(KeySet::parse(text.as_bytes()).err(), Some(KeySetError::Malformed), "{text}");
        }
        assert_eq!(KeySet::parse(&vec![b' '; MAX_KEY_SET_BYTES + 1]).err(), Some(KeySetError::TooLarge));
        assert_eq!(
            KeySet::parse(json!({"keys": vec![1; 101]}).to_string().as_bytes()).err(),
            Some(KeySetError::TooMany)
        );
        assert!(set(&[]).is_empty());
    }

    #[test]
    fn candidates_are_bounded_by_what_they_cost_if_many_keys_share_a_kid() {
        let all: Value = serde_json::from_str(testing::jwks()).unwrap();
        let cases = [
            (0, "es256", Algorithm::Es256, 20),
            (1, "es384", Algorithm::Es384, 5),
            (2, "eddsa", Algorithm::EdDsa, 80),
            (3, "rs256", Algorithm::Rs256, 40),
        ];
        for (index, kid, algorithm, most) in cases {
            let set = set(&vec![all["keys"][index].clone(); 100]);
            let count = |kid, algorithm| set.candidates(kid, algorithm, UnixMillis(0)).count();
            assert_eq!((count(Some(kid), algorithm), count(None, algorithm)), (most, most), "{kid}");
            assert_eq!((count(Some("other"), algorithm), count(Some(kid), Algorithm::Hs256)), (0, 0), "{kid}");
        }
    }
}
