//! Typed public keys.

use super::Algorithm;
use super::algorithm::{Bytes, EdDsa, Es256, Es384, Rsa};
use super::cost::Cost;
use super::life::Life;
use jwt_compact::Algorithm as _;
use rsa::traits::PublicKeyParts;

/// Digest of a public key: tells keys apart whatever their `kid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub [u8; 16]);

/// A public key that verifies signatures.
#[derive(Debug, Clone)]
pub struct Key {
    pub(super) id: KeyId,
    pub(super) kid: Option<String>,
    /// The one algorithm that the JWK's `alg` holds it to.
    pub(super) only: Option<Algorithm>,
    pub(super) material: Material,
    pub(super) life: Life,
}

#[derive(Debug, Clone)]
pub(super) enum Material {
    Rsa(rsa::PublicKey),
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
    Ed25519(ed25519_dalek::VerifyingKey),
}

impl Material {
    /// Whether keys of this type are used with the algorithm.
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        match algorithm {
            Algorithm::Rs256 | Algorithm::Rs384 | Algorithm::Rs512 => matches!(self, Self::Rsa(_)),
            Algorithm::Ps256 | Algorithm::Ps384 | Algorithm::Ps512 => matches!(self, Self::Rsa(_)),
            Algorithm::Es256 => matches!(self, Self::P256(_)),
            Algorithm::Es384 => matches!(self, Self::P384(_)),
            Algorithm::EdDsa => matches!(self, Self::Ed25519(_)),
            Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => false,
        }
    }
}

impl Key {
    /// Its digest.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Its `kid`, where it has one.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Until when it counts.
    pub fn life(&self) -> Life {
        self.life
    }

    /// Whether the key's type, and its `alg` where it has one, go with the algorithm.
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        self.material.fits(algorithm) && self.only.is_none_or(|only| only == algorithm)
    }

    /// What looking at a signature with it costs.
    pub fn cost(&self) -> Cost {
        match &self.material {
            Material::Rsa(key) => Cost::rsa(key.n().bit_width()),
            Material::P256(_) => Cost::P256,
            Material::P384(_) => Cost::P384,
            Material::Ed25519(_) => Cost::ED25519,
        }
    }

    /// Whether the signature over the message was made with this key by this algorithm.
    pub fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        if !self.fits(algorithm) {
            return false;
        }
        let signature = Bytes::from(signature);
        match &self.material {
            Material::Rsa(key) => Rsa(algorithm).verify_signature(&signature, key, message),
            Material::P256(key) => Es256(algorithm).verify_signature(&signature, key, message),
            Material::P384(key) => Es384(algorithm).verify_signature(&signature, key, message),
            Material::Ed25519(key) => EdDsa(algorithm).verify_signature(&signature, key, message),
        }
    }
}
