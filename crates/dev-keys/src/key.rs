//! A private key of one of the three kinds that gateways meet most.

use super::encode;
use ed25519_dalek as ed25519;
use hmac::{Hmac, KeyInit, Mac};
use p256::ecdsa::signature::{SignatureEncoding, Signer};
use pkcs8::{DecodePrivateKey, EncodePrivateKey, LineEnding};
use rsa::traits::PublicKeyParts;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fmt;

/// Bits of RSA keys.
const RSA_BITS: usize = 2048;

/// How a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// RSA, PKCS #1 v1.5.
    Rs256,
    /// ECDSA on P-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Rs256, Self::Es256, Self::EdDsa];

    /// The `alg` text.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// Why there is no key or no signature. No variant carries key material.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// An RSA key cannot be made.
    #[error("cannot make an RSA key: {0}")]
    Rsa(rsa::Error),
    /// The key on an elliptic curve cannot be made.
    #[error("cannot make a P-256 key")]
    Ec,
    /// Signing failed.
    #[error("cannot sign")]
    Signing,
    /// A key cannot be written as PEM.
    #[error("cannot write the key as PEM: {0}")]
    Pem(pkcs8::Error),
    /// A text is no key of these kinds.
    #[error("is no private key in PEM (PKCS #8, not encrypted) of RSA, P-256 or Ed25519")]
    NotAKey,
}

/// A private key.
pub struct SigningKey(Material);

enum Material {
    // Larger than the others by far.
    Rsa(Box<rsa::pkcs1v15::SigningKey<Sha256>>),
    P256(p256::ecdsa::SigningKey),
    Ed25519(ed25519::SigningKey),
}

impl fmt::Debug for SigningKey {
    /// Names the algorithm only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("algorithm", &self.algorithm()).finish_non_exhaustive()
    }
}

impl SigningKey {
    /// Makes a key.
    ///
    /// # Errors
    /// When the machine gives no fitting randomness.
    pub fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        Ok(Self(match algorithm {
            Algorithm::Rs256 => Material::rsa(rsa::PrivateKey::new(&mut rand::rng(), RSA_BITS).map_err(KeyError::Rsa)?),
            Algorithm::Es256 => {
                // All but a vanishing share of 32 bytes are a P-256 scalar.
                let scalar: [u8; 32] = rand::random();
                Material::P256(p256::ecdsa::SigningKey::from_slice(&scalar).map_err(|_| KeyError::Ec)?)
            }
            Algorithm::EdDsa => Material::Ed25519(ed25519::SigningKey::from_bytes(&rand::random())),
        }))
    }

    /// Reads a key that [`SigningKey::to_pem`] or OpenSSL wrote.
    ///
    /// # Errors
    /// [`KeyError::NotAKey`] for anything else.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let ec = || p256::ecdsa::SigningKey::from_pkcs8_pem(pem).map(Material::P256);
        let ed = || ed25519::SigningKey::from_pkcs8_pem(pem).map(Material::Ed25519);
        let rsa = || rsa::PrivateKey::from_pkcs8_pem(pem).map(Material::rsa);
        ec().or_else(|_| ed()).or_else(|_| rsa()).map(Self).map_err(|_| KeyError::NotAKey)
    }

    /// The key as PEM (PKCS #8, RFC 5958).
    ///
    /// # Errors
    /// [`KeyError::Pem`].
    pub fn to_pem(&self) -> Result<String, KeyError> {
        let pem = match &self.0 {
            Material::Rsa(key) => key.as_ref().as_ref().to_pkcs8_pem(LineEnding::LF),
            Material::P256(key) => p256::SecretKey::from(key).to_pkcs8_pem(LineEnding::LF),
            Material::Ed25519(key) => key.to_pkcs8_pem(LineEnding::LF),
        };
        pem.map(|pem| pem.as_str().to_owned()).map_err(KeyError::Pem)
    }

    /// How it signs.
    pub fn algorithm(&self) -> Algorithm {
        match &self.0 {
            Material::Rsa(_) => Algorithm::Rs256,
            Material::P256(_) => Algorithm::Es256,
            Material::Ed25519(_) => Algorithm::EdDsa,
        }
    }

    /// A name that no other key has, and that says what it is for: `dev-`, the algorithm, and the beginning of the public key's
    /// thumbprint (RFC 7638), in hexadecimal.
    pub fn kid(&self) -> String {
        let thumbprint = Sha256::digest(self.members().to_string().as_bytes());
        let short: String = thumbprint.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        format!("dev-{}-{short}", self.algorithm().name().to_ascii_lowercase())
    }

    /// The public key as a JWK (RFC 7517) under this `kid`.
    pub fn public_jwk(&self, kid: &str) -> Value {
        let mut jwk = self.members();
        if let Some(members) = jwk.as_object_mut() {
            members.extend(
                [("kid", kid), ("alg", self.algorithm().name()), ("use", "sig")]
                    .map(|(name, value)| (name.to_owned(), Value::from(value))),
            );
        }
        jwk
    }

    /// The members that a thumbprint is of.
    fn members(&self) -> Value {
        match &self.0 {
            Material::Rsa(key) => {
                let public = rsa::PublicKey::from(key.as_ref().as_ref());
                json!({"kty": "RSA", "n": encode(&public.n_bytes()), "e": encode(&public.e_bytes())})
            }
            Material::P256(key) => {
                let point = key.verifying_key().to_sec1_point(false);
                let coordinate =
                    |bytes: Option<&p256::FieldBytes>| bytes.map(|bytes| encode(bytes)).unwrap_or_default();
                json!({"kty": "EC", "crv": "P-256", "x": coordinate(point.x()), "y": coordinate(point.y())})
            }
            Material::Ed25519(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "x": encode(key.verifying_key().as_bytes())})
            }
        }
    }

    /// Signs.
    ///
    /// # Errors
    /// [`KeyError::Signing`].
    pub fn sign(&self, input: &[u8]) -> Result<Vec<u8>, KeyError> {
        match &self.0 {
            Material::Rsa(key) => key.try_sign(input).map(|signature| signature.to_vec()),
            Material::P256(key) => {
                key.try_sign(input).map(|signature: p256::ecdsa::Signature| signature.to_bytes().to_vec())
            }
            Material::Ed25519(key) => key.try_sign(input).map(|signature| signature.to_bytes().to_vec()),
        }
        .map_err(|_| KeyError::Signing)
    }

    /// The modulus of an RSA key: what a forger takes for an HS256 secret (RFC 8725 §2.1).
    pub fn rsa_modulus(&self) -> Option<Vec<u8>> {
        match &self.0 {
            Material::Rsa(key) => Some(rsa::PublicKey::from(key.as_ref().as_ref()).n_bytes().to_vec()),
            Material::P256(_) | Material::Ed25519(_) => None,
        }
    }
}

impl Material {
    fn rsa(key: rsa::PrivateKey) -> Self {
        Self::Rsa(Box::new(rsa::pkcs1v15::SigningKey::new(key)))
    }
}

/// Signs with a shared secret: HS256.
///
/// # Errors
/// [`KeyError::Signing`].
pub fn sign_hmac(secret: &[u8], input: &[u8]) -> Result<Vec<u8>, KeyError> {
    let mac = Hmac::<Sha256>::new_from_slice(secret).map_err(|_| KeyError::Signing)?;
    Ok(mac.chain_update(input).finalize().into_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use backstage_kong::host::UnixMillis;
    use backstage_kong::jose::Algorithm as Name;
    use backstage_kong::jose::KeySet;

    fn verifies(jwk: &Value, kid: &str, algorithm: Algorithm, signature: &[u8]) -> bool {
        let set = KeySet::parse(json!({"keys": [jwk]}).to_string().as_bytes()).unwrap();
        let name = Name::from_name(algorithm.name()).unwrap();
        set.candidates(Some(kid), name, UnixMillis(0)).any(|key| key.verify(name, b"message", signature))
    }

    #[test]
    fn a_key_that_was_written_and_read_signs_what_the_filter_verifies() {
        for algorithm in Algorithm::ALL {
            let key = SigningKey::generate(algorithm).unwrap();
            let (kid, pem) = (key.kid(), key.to_pem().unwrap());
            assert!(kid.starts_with(&format!("dev-{}-", algorithm.name().to_ascii_lowercase())), "{kid}");
            assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n"), "what OpenSSL reads");
            let read = SigningKey::from_pem(&pem).unwrap();
            assert_eq!((read.algorithm(), read.kid()), (algorithm, kid.clone()));
            assert!(verifies(&key.public_jwk(&kid), &kid, algorithm, &read.sign(b"message").unwrap()));
            let other = SigningKey::generate(algorithm).unwrap();
            assert!(!verifies(&other.public_jwk(&kid), &kid, algorithm, &read.sign(b"message").unwrap()));
        }
    }

    #[test]
    fn what_is_no_key_is_refused_and_a_key_shows_nothing_of_itself() {
        for text in ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "{}"] {
            assert!(SigningKey::from_pem(text).is_err(), "{text}");
        }
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        assert_eq!(format!("{key:?}"), "SigningKey { algorithm: EdDsa, .. }");
    }
}
