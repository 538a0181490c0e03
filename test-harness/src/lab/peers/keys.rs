//! Signing keys of the development identity provider, made at each start.

pub use dev_keys::KeyError;
use dev_keys::{Algorithm, SigningKey, sign_hmac};
use serde::Deserialize;
use serde_json::Value;

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
#[derive(Debug)]
pub struct SigningKeys {
    generation: String,
    rsa: SigningKey,
    ec: SigningKey,
    ed: SigningKey,
}

impl SigningKeys {
    /// Makes keys whose ids no other start of the provider has used, so that gateways notice.
    ///
    /// # Errors
    /// When the machine gives no fitting randomness.
    pub fn generate() -> Result<Self, KeyError> {
        Ok(Self {
            generation: format!("{:08x}", rand::random::<u32>()),
            rsa: SigningKey::generate(Algorithm::Rs256)?,
            ec: SigningKey::generate(Algorithm::Es256)?,
            ed: SigningKey::generate(Algorithm::EdDsa)?,
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
        match kind {
            KeyKind::Rs256 => self.rsa.sign(input),
            KeyKind::Es256 => self.ec.sign(input),
            KeyKind::EdDsa => self.ed.sign(input),
            KeyKind::Hs256 => sign_hmac(secret, input),
        }
    }

    /// The public keys as JWKs (RFC 7517).
    pub fn public(&self) -> Vec<Value> {
        [(&self.rsa, KeyKind::Rs256), (&self.ec, KeyKind::Es256), (&self.ed, KeyKind::EdDsa)]
            .map(|(key, kind)| key.public_jwk(&self.kid(kind)))
            .into()
    }

    /// The RSA modulus: what a forger takes for an HS256 secret.
    pub fn rsa_modulus(&self) -> Vec<u8> {
        self.rsa.rsa_modulus().unwrap_or_default()
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
