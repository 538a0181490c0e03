//! Values for shared data that say what they are.
//!
//! Kong's host compares keys by their CRC32 only, so two keys can be one entry, and copies a value after it has let go of
//! the lock, so a read can be torn. A sealed value carries its full key and a checksum over everything.
//!
//! ```text
//! "BK" │ format, 1 byte │ key length, 2 bytes │ key │ payload │ first 8 bytes of SHA-256 over all before
//! ```

use sha2::{Digest, Sha256};

const MAGIC: &[u8] = b"BK\x01";
const CHECKSUM: usize = 8;

/// What a stored value turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened<'a> {
    /// The payload sealed under this key.
    Payload(&'a [u8]),
    /// A whole value of another key: their CRC32 collide.
    OtherKey,
    /// Torn, or of another format. Reading again may help.
    Damaged,
}

/// Seals a payload under its key.
pub fn seal(key: &str, payload: &[u8]) -> Vec<u8> {
    let key_len = u16::try_from(key.len()).unwrap_or(u16::MAX);
    let mut bytes = Vec::with_capacity(MAGIC.len() + 2 + key.len() + payload.len() + CHECKSUM);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&key_len.to_be_bytes());
    bytes.extend_from_slice(key.as_bytes());
    bytes.extend_from_slice(payload);
    let checksum = checksum(&bytes);
    bytes.extend_from_slice(&checksum);
    bytes
}

/// Opens a value read under `key`.
pub fn open<'a>(key: &str, bytes: &'a [u8]) -> Opened<'a> {
    whole(bytes).map_or(Opened::Damaged, |(stored, payload)| {
        if stored == key.as_bytes() { Opened::Payload(payload) } else { Opened::OtherKey }
    })
}

fn whole(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (body, stored) = bytes.split_at_checked(bytes.len().checked_sub(CHECKSUM)?)?;
    if checksum(body) != stored {
        return None;
    }
    let rest = body.strip_prefix(MAGIC)?;
    let (key_len, rest) = rest.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*key_len)))
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    let mut checksum = [0; CHECKSUM];
    for (to, from) in checksum.iter_mut().zip(Sha256::digest(bytes)) {
        *to = from;
    }
    checksum
}
