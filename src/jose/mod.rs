//! JSON Web Keys and the signatures they verify (RFC 7517, 7518, 8037).
//!
//! The primitives are RustCrypto's, each behind [`jwt_compact::Algorithm`]; nothing here signs.

mod alg;
mod algorithm;
mod cost;
mod jwk;
mod key;
mod key_set;
mod life;
mod roca;
#[cfg(test)]
pub(crate) mod testing;

pub use alg::{Algorithm, ED25519};
pub use algorithm::verify_hmac;
pub use cost::Cost;
pub use jwk::{MAX_KID, SkipReason};
pub use key::{Key, KeyId};
pub use key_set::{KeySet, KeySetError, MAX_KEY_SET_BYTES, SkippedKey};
pub use life::Life;
