//! Signature algorithms as [`jwt_compact::Algorithm`]s that only verify.

use super::Algorithm as Name;
use ed25519_dalek as ed25519;
use hmac::{Hmac, KeyInit, Mac};
use jwt_compact::{Algorithm, AlgorithmSignature};
use rsa::{Pkcs1v15Sign, Pss};
use sha2::{Digest, Sha256, Sha384, Sha512};
use std::borrow::Cow;
use std::convert::Infallible;

/// A signature as it stood in the token; what length it must have is the key's to say.
pub(super) struct Bytes(Vec<u8>);

impl AlgorithmSignature for Bytes {
    fn try_from_slice(slice: &[u8]) -> Result<Self, anyhow::Error> {
        Ok(Self(slice.to_owned()))
    }

    fn as_bytes(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.0)
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_owned())
    }
}

/// Ties an algorithm to the type of its public keys. There is no signing key: a gateway signs nothing.
macro_rules! verifies {
    ($algorithm:ident, $key:ty, |$self:ident, $signature:ident, $verifying:ident, $message:ident| $verify:expr) => {
        impl Algorithm for $algorithm {
            type SigningKey = Infallible;
            type VerifyingKey = $key;
            type Signature = Bytes;

            fn name(&self) -> Cow<'static, str> {
                Cow::Borrowed(self.0.name())
            }

            fn sign(&self, signing_key: &Infallible, _message: &[u8]) -> Bytes {
                match *signing_key {}
            }

            fn verify_signature(&$self, $signature: &Bytes, $verifying: &$key, $message: &[u8]) -> bool {
                let $signature = $signature.0.as_slice();
                $verify
            }
        }
    };
}

/// RS256 to PS512 (RFC 7518 §3.3, §3.5).
pub(super) struct Rsa(pub Name);
/// ES256 (RFC 7518 §3.4): `r` and `s`, 32 bytes each.
pub(super) struct Es256(pub Name);
/// ES384: `r` and `s`, 48 bytes each.
pub(super) struct Es384(pub Name);
/// EdDSA with Ed25519 (RFC 8037 §3.1), small-order keys and malleable signatures refused.
pub(super) struct EdDsa(pub Name);
/// HS256 to HS512 (RFC 7518 §3.2), compared in constant time.
struct Hs(Name);

verifies!(Rsa, rsa::PublicKey, |self, signature, key, message| {
    match self.0 {
        Name::Rs256 => key.verify(Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(message), signature),
        Name::Rs384 => key.verify(Pkcs1v15Sign::new::<Sha384>(), &Sha384::digest(message), signature),
        Name::Rs512 => key.verify(Pkcs1v15Sign::new::<Sha512>(), &Sha512::digest(message), signature),
        Name::Ps256 => key.verify(Pss::<Sha256>::new(), &Sha256::digest(message), signature),
        Name::Ps384 => key.verify(Pss::<Sha384>::new(), &Sha384::digest(message), signature),
        Name::Ps512 => key.verify(Pss::<Sha512>::new(), &Sha512::digest(message), signature),
        _ => Err(rsa::Error::Verification),
    }
    .is_ok()
});

verifies!(Es256, p256::ecdsa::VerifyingKey, |self, signature, key, message| {
    use p256::ecdsa::signature::Verifier;
    p256::ecdsa::Signature::from_slice(signature).is_ok_and(|signature| key.verify(message, &signature).is_ok())
});

verifies!(Es384, p384::ecdsa::VerifyingKey, |self, signature, key, message| {
    use p384::ecdsa::signature::Verifier;
    p384::ecdsa::Signature::from_slice(signature).is_ok_and(|signature| key.verify(message, &signature).is_ok())
});

verifies!(EdDsa, ed25519::VerifyingKey, |self, signature, key, message| {
    ed25519::Signature::from_slice(signature).is_ok_and(|signature| key.verify_strict(message, &signature).is_ok())
});

verifies!(Hs, Vec<u8>, |self, signature, key, message| {
    match self.0 {
        Name::Hs256 => Hmac::<Sha256>::new_from_slice(key)
            .is_ok_and(|mac| mac.chain_update(message).verify_slice(signature).is_ok()),
        Name::Hs384 => Hmac::<Sha384>::new_from_slice(key)
            .is_ok_and(|mac| mac.chain_update(message).verify_slice(signature).is_ok()),
        Name::Hs512 => Hmac::<Sha512>::new_from_slice(key)
            .is_ok_and(|mac| mac.chain_update(message).verify_slice(signature).is_ok()),
        _ => false,
    }
});

/// Verifies a signature made with a shared secret; false for every algorithm but HS256, HS384 and HS512.
pub fn verify_hmac(algorithm: Name, secret: &Vec<u8>, message: &[u8], signature: &[u8]) -> bool {
    Hs(algorithm).verify_signature(&Bytes::from(signature), secret, message)
}
