//! Values for shared data that say what they are.
//!
//! Kong's host compares keys by their CRC32 only, so two keys can be one entry, and copies a value after it has let go of
//! the lock, so a read can be torn. A sealed value carries its full key and a checksum over everything.
//!
//! ```text
//! "BK" │ format, 1 byte │ key length, 2 bytes │ key │ payload │ first 8 bytes of SHA-256 over all before
//! ```

use crate::host::{Expect, SharedData, StoreFailed};
use sha2::{Digest, Sha256};

const MAGIC: &[u8] = b"BK\x01";
const CHECKSUM: usize = 8;
/// Attempts to read a value whole.
const READS: usize = 3;

/// What is stored under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Absent,
    /// A payload sealed under this key.
    Payload(Vec<u8>, Expect),
    /// A value of another key that has the same CRC32.
    OtherKey,
    /// Something that stays damaged: of another format, or being written all the time. Whoever writes while it is being
    /// written loses by its version, so that beginning anew undoes nobody's write.
    Damaged(Expect),
}

/// Reads a value, again where it came out torn.
///
/// # Errors
/// [`StoreFailed`] when the host fails.
pub fn read(store: &dyn SharedData, key: &str) -> Result<Found, StoreFailed> {
    let mut found = Found::Absent;
    for _ in 0..READS {
        let Some(stored) = store.get(key)? else { return Ok(Found::Absent) };
        let expect = Expect::Version(stored.version);
        match open(key, &stored.bytes) {
            Opened::Payload(payload) => return Ok(Found::Payload(payload.to_vec(), expect)),
            Opened::OtherKey => return Ok(Found::OtherKey),
            Opened::Damaged => found = Found::Damaged(expect),
        }
    }
    Ok(found)
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::MemoryStore;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_sealed_opens_under_its_key_and_no_other(key in "\\PC{0,40}", other in "\\PC{0,40}", payload: Vec<u8>) {
            let sealed = seal(&key, &payload);
            prop_assert_eq!(open(&key, &sealed), Opened::Payload(&payload));
            if key != other {
                prop_assert_eq!(open(&other, &sealed), Opened::OtherKey);
            }
        }

        #[test]
        fn a_torn_value_is_seen_to_be_torn(payload in proptest::collection::vec(any::<u8>(), 1..40), at: prop::sample::Index, bytes: Vec<u8>) {
            let sealed = seal("key", &payload);
            let at = at.index(sealed.len());
            prop_assert_eq!(open("key", &sealed[..at]), Opened::Damaged);
            let mixed = [&sealed[..at], &bytes].concat();
            prop_assert!(mixed == sealed || open("key", &mixed) == Opened::Damaged);
        }
    }

    #[test]
    fn a_value_that_stays_damaged_is_told_with_its_version() {
        let store = MemoryStore::default();
        assert_eq!(read(&store, "key"), Ok(Found::Absent));
        store.set("key", b"x", Expect::Absent).unwrap();
        assert_eq!(read(&store, "key"), Ok(Found::Damaged(Expect::Version(1))));
    }
}
