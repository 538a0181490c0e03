//! Short digests: enough to tell things apart that are ours.

use sha2::{Digest, Sha256};

/// The first `N` bytes, 32 at most, of SHA-256 over the parts one after another.
pub(crate) fn digest<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().first_chunk().copied().unwrap_or([0; N])
}
