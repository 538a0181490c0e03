//! What it costs to verify a signature.

use super::key::{Key, Material};
use rsa::traits::PublicKeyParts;

/// A signature by a shared secret over the longest token, in thousandths of one by ES256.
pub const HMAC_COST: u32 = 50;

impl Key {
    /// What a signature by this key costs to verify, in thousandths of what one by ES256 does: measured in the compiled filter's
    /// instructions, and rounded up. RSA grows with the square of the key's length.
    pub fn cost(&self) -> u32 {
        match &self.material {
            Material::Rsa(key) => {
                let bytes = u32::try_from(key.size()).unwrap_or(u32::MAX);
                bytes.saturating_mul(bytes).saturating_mul(700) / (256 * 256)
            }
            Material::P256(_) => 1000,
            Material::P384(_) => 4200,
            Material::Ed25519(_) => 200,
        }
    }
}
