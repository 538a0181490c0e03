//! JWK → typed key (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2).

use super::Algorithm;
use super::key::{Key, KeyId, Material};
use super::life::Life;
use super::roca;
use crate::digest::digest;
use crate::json::not_null;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rsa::BoxedUint;
use serde::Deserialize;

/// Sizes of RSA modulus taken, in bits: below is weak (RFC 7518 §3.3), above costs too much to verify with.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;
/// Longest `kid` in bytes, of a key and of a token.
pub const MAX_KID: usize = 256;

/// Why a key of a set is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SkipReason {
    /// Members are missing or of another type.
    #[error("is not a well-formed JWK")]
    Malformed,
    /// `kty` and `crv` are none that this filter verifies with; a shared secret (`oct`) never is.
    #[error("is of a type that is not used here; RSA, EC with P-256 or P-384, and OKP with Ed25519 are")]
    Type,
    /// `use` or `key_ops` say that it is not for verifying.
    #[error("is not for verifying signatures")]
    Use,
    /// `alg` is not one that goes with its type.
    #[error("has an `alg` that does not go with its type")]
    Algorithm,
    /// The numbers make no valid key, or one of a size that is not taken.
    #[error("is not a valid key, or an RSA key of less than 2048 or more than 4096 bits")]
    Invalid,
    /// An RSA key that can be factored, whoever made it.
    #[error("is an RSA key that can be factored, made by a faulty chip (ROCA, CVE-2017-15361)")]
    Weak,
}

/// The members that matter; all others are ignored, private ones too.
#[derive(Deserialize)]
pub(super) struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    #[serde(default, deserialize_with = "not_null")]
    kid: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

impl Jwk {
    pub(super) fn key(self) -> Result<Key, SkipReason> {
        let for_signatures = self.usage.as_deref().is_none_or(|usage| usage == "sig");
        let verifies = self.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        if !for_signatures || !verifies {
            return Err(SkipReason::Use);
        }
        if self.kid.as_ref().is_some_and(|kid| kid.len() > MAX_KID) {
            return Err(SkipReason::Malformed);
        }
        let (material, id) = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => self.rsa()?,
            ("EC", Some("P-256")) => {
                let point = self.point::<32>()?;
                (
                    p256::ecdsa::VerifyingKey::from_sec1_bytes(&point)
                        .map(Material::P256)
                        .map_err(|_| SkipReason::Invalid)?,
                    key_id("P-256", [&point, &[]]),
                )
            }
            ("EC", Some("P-384")) => {
                let point = self.point::<48>()?;
                (
                    p384::ecdsa::VerifyingKey::from_sec1_bytes(&point)
                        .map(Material::P384)
                        .map_err(|_| SkipReason::Invalid)?,
                    key_id("P-384", [&point, &[]]),
                )
            }
            ("OKP", Some("Ed25519")) => self.ed25519()?,
            _ => return Err(SkipReason::Type),
        };
        let only = match self.alg.as_deref() {
            None => None,
            Some(name) => {
                let algorithm = Algorithm::from_name(name).filter(|algorithm| material.fits(*algorithm));
                Some(algorithm.ok_or(SkipReason::Algorithm)?)
            }
        };
        Ok(Key { id, kid: self.kid, only, material, life: Life::default() })
    }

    fn rsa(&self) -> Result<(Material, KeyId), SkipReason> {
        let (n, e) = (decode(self.n.as_deref())?, decode(self.e.as_deref())?);
        if n.len() > RSA_BITS.end() / 8 || e.len() > 8 {
            return Err(SkipReason::Invalid);
        }
        let id = key_id("RSA", [&n, &e]);
        let number = |bytes: &[u8]| BoxedUint::from_be_slice_vartime(bytes);
        let key =
            rsa::PublicKey::new_with_size_limits(number(&n), number(&e), RSA_BITS).map_err(|_| SkipReason::Invalid)?;
        if roca::is_weak(&n) {
            return Err(SkipReason::Weak);
        }
        Ok((Material::Rsa(key), id))
    }

    /// The uncompressed point (SEC 1 §2.3.3); coordinates have their full length (RFC 7518 §6.2.1.2).
    fn point<const N: usize>(&self) -> Result<Vec<u8>, SkipReason> {
        let (x, y) = (decode(self.x.as_deref())?, decode(self.y.as_deref())?);
        if x.len() != N || y.len() != N {
            return Err(SkipReason::Invalid);
        }
        Ok([&[4][..], &x, &y].concat())
    }

    fn ed25519(&self) -> Result<(Material, KeyId), SkipReason> {
        let x: [u8; 32] = decode(self.x.as_deref())?.try_into().map_err(|_| SkipReason::Invalid)?;
        let key = ed25519_dalek::VerifyingKey::from_bytes(&x).map_err(|_| SkipReason::Invalid)?;
        Ok((Material::Ed25519(key), key_id("Ed25519", [&x, &[]])))
    }
}

fn decode(member: Option<&str>) -> Result<Vec<u8>, SkipReason> {
    URL_SAFE_NO_PAD.decode(member.ok_or(SkipReason::Malformed)?).map_err(|_| SkipReason::Malformed)
}

fn key_id(kind: &str, parts: [&[u8]; 2]) -> KeyId {
    let sizes = parts.map(|part| u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
    let [first, second] = parts;
    let [first_size, second_size] = &sizes;
    KeyId(digest(&[kind.as_bytes(), first_size, first, second_size, second]))
}
