//! Signing keys of the development identity provider, made at each start.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use p256::ecdsa::signature::{SignatureEncoding, Signer};
use rsa::traits::PublicKeyParts;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::Sha256;

/// Which key signs a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum KeyKind {
    /// RSA, 2048 bits: `RS256`.
    Rs256,
    /// P-256: `ES256`.
    #[default]
    Es256,
    /// Ed25519: `EdDSA`.
    EdDsa,
    /// The secret of the token's specification: `HS256`.
    Hs256,
}

/// One key of each kind, and their ids.
pub struct SigningKeys {
    generation: String,
    rsa: rsa::pkcs1v15::SigningKey<Sha256>,
    pub(super) ec: p256::ecdsa::SigningKey,
    pub(super) ed: ed25519_dalek::SigningKey,
}

/// Keys could not be made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The RSA key.
    #[error("cannot make an RSA key: {0}")]
    Rsa(rsa::Error),
    /// The elliptic curve key.
    #[error("cannot make a P-256 key")]
    Ec,
    /// Signing failed.
    #[error("cannot sign")]
    Signing,
}

impl std::fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKeys").field("generation", &self.generation).finish_non_exhaustive()
    }
}

impl SigningKeys {
    /// Makes keys whose ids no other start of the provider has used, so that gateways notice.
    ///
    /// # Errors
    /// When the machine gives no fitting randomness.
    pub fn generate() -> Result<Self, KeyError> {
        let rsa = rsa::PrivateKey::new(&mut rand::rng(), 2048).map_err(KeyError::Rsa)?;
        // All but a vanishing share of 32 bytes are a P-256 scalar.
        let scalar: [u8; 32] = rand::random();
        Ok(Self {
            generation: format!("{:08x}", rand::random::<u32>()),
            rsa: rsa::pkcs1v15::SigningKey::new(rsa),
            ec: p256::ecdsa::SigningKey::from_slice(&scalar).map_err(|_| KeyError::Ec)?,
            ed: ed25519_dalek::SigningKey::from_bytes(&rand::random()),
        })
    }

    /// The id of a key.
    pub fn kid(&self, kind: KeyKind) -> String {
        format!("{}-{}", kind.algorithm().to_ascii_lowercase(), self.generation)
    }

    /// Signs `input`; `secret` is for HS256 alone.
    ///
    /// # Errors
    /// When the key does not sign.
    pub fn sign(&self, kind: KeyKind, secret: &[u8], input: &[u8]) -> Result<Vec<u8>, KeyError> {
        Ok(match kind {
            KeyKind::Rs256 => self.rsa.try_sign(input).map_err(|_| KeyError::Signing)?.to_vec(),
            KeyKind::Es256 => {
                let signature: p256::ecdsa::Signature = self.ec.try_sign(input).map_err(|_| KeyError::Signing)?;
                signature.to_bytes().to_vec()
            }
            KeyKind::EdDsa => self.ed.try_sign(input).map_err(|_| KeyError::Signing)?.to_vec(),
            KeyKind::Hs256 => {
                let mut mac = Hmac::<Sha256>::new_from_slice(secret).map_err(|_| KeyError::Signing)?;
                mac.update(input);
                mac.finalize().into_bytes().to_vec()
            }
        })
    }

    /// The public keys as JWKs (RFC 7517).
    pub fn public(&self) -> Vec<Value> {
        let public = rsa::PublicKey::from(self.rsa.as_ref());
        let point = self.ec.verifying_key().to_sec1_point(false);
        let coordinate = |bytes: Option<&p256::FieldBytes>| bytes.map(|bytes| encode(bytes)).unwrap_or_default();
        vec![
            json!({"kty": "RSA", "kid": self.kid(KeyKind::Rs256), "alg": "RS256", "use": "sig",
                   "n": encode(&public.n_bytes()), "e": encode(&public.e_bytes())}),
            json!({"kty": "EC", "kid": self.kid(KeyKind::Es256), "alg": "ES256", "use": "sig", "crv": "P-256",
                   "x": coordinate(point.x()), "y": coordinate(point.y())}),
            json!({"kty": "OKP", "kid": self.kid(KeyKind::EdDsa), "alg": "EdDSA", "use": "sig", "crv": "Ed25519",
                   "x": encode(self.ed.verifying_key().as_bytes())}),
        ]
    }

    /// The RSA modulus: what a forger takes for an HS256 secret.
    pub fn rsa_modulus(&self) -> Vec<u8> {
        rsa::PublicKey::from(self.rsa.as_ref()).n_bytes().to_vec()
    }
}

impl KeyKind {
    /// The `alg` of tokens it signs.
    pub fn algorithm(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Hs256 => "HS256",
        }
    }
}

/// base64url without padding (RFC 7515 §2).
pub(super) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
