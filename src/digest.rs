//! Short digests: enough to tell things apart that are ours.

use sha2::{Digest, Sha256};
use std::hash::{Hash, Hasher};

/// The first `N` bytes, 32 at most, of SHA-256 over the parts one after another.
pub(crate) fn digest<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().first_chunk().copied().unwrap_or([0; N])
}

/// A digest of all that a value hashes, in hexadecimal: each of its fields, where the trait is derived. Two builds of the filter may
/// come to different ones.
pub(crate) fn digest_of(value: &impl Hash) -> String {
    let mut parts = HashedBytes::default();
    value.hash(&mut parts);
    let digest: [u8; 16] = digest(&[&parts.0]);
    format!("{:032x}", u128::from_be_bytes(digest))
}

/// What a value hashes, as it stands.
#[derive(Default)]
struct HashedBytes(Vec<u8>);

impl Hasher for HashedBytes {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Nobody asks for this one.
    fn finish(&self) -> u64 {
        0
    }
}
