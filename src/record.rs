//! Values for shared data that say what they are.
//!
//! Kong's host compares keys by their CRC32 only, so two keys can be one entry, and copies a value after it has let go of
//! the lock, so a read can be torn. A sealed value carries its full key and a checksum over everything.
//!
//! ```text
//! "BK" │ format, 1 byte │ key length, 2 bytes │ key │ payload │ SipHash-1-3 over all before, 8 bytes
//! ```

use crate::bytes::is_same;
use siphasher::sip::SipHasher13;

/// Marks a sealed value; its last byte is the version of the envelope.
const MAGIC: &[u8] = b"BK\x02";
const CHECKSUM: usize = 8;
/// What a sealed value ends with. Values with the same one are the same.
pub(crate) type Checksum = [u8; CHECKSUM];
/// Attempts to read a value whole.
pub(crate) const READS: usize = 3;

/// What a stored value turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened<'a> {
    /// The payload sealed under this key.
    Payload(&'a [u8]),
    /// A whole value of another key: their CRC32 collide.
    OtherKey {
        /// The key it was sealed under.
        key: &'a str,
        /// Its payload.
        payload: &'a [u8],
    },
    /// Begins as a sealed value and is none: it was written while it was read, and its version is out of date, or it is
    /// damaged for good. Either way it may be written over by compare-and-swap.
    Torn,
    /// No sealed value of this format: another program's, or another version's.
    Foreign,
}

/// Seals a payload under its key. A key beyond 65,535 bytes never opens again; ours have some hundred.
pub fn seal(key: &str, payload: &[u8]) -> Vec<u8> {
    seal_with(key, payload.len(), |bytes| bytes.extend_from_slice(payload))
}

/// The same, with a payload that is written in its place, of about `size` bytes.
pub fn seal_with(key: &str, size: usize, write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let key_len = u16::try_from(key.len()).unwrap_or(u16::MAX);
    let mut bytes = Vec::with_capacity(MAGIC.len() + 2 + key.len() + size + CHECKSUM);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&key_len.to_be_bytes());
    bytes.extend_from_slice(key.as_bytes());
    write(&mut bytes);
    bytes.extend_from_slice(&checksum(&bytes));
    bytes
}

/// Opens a value read under `key`.
pub fn open<'a>(key: &str, bytes: &'a [u8]) -> Opened<'a> {
    if !bytes.starts_with(MAGIC) {
        return Opened::Foreign;
    }
    match whole(bytes) {
        Some((stored, payload)) if is_same(stored, key.as_bytes()) => Opened::Payload(payload),
        Some((key, payload)) => std::str::from_utf8(key).map_or(Opened::Torn, |key| Opened::OtherKey { key, payload }),
        None => Opened::Torn,
    }
}

/// The checksum that a sealed value ends with.
pub(crate) fn checksum_of(sealed: &[u8]) -> Checksum {
    sealed.last_chunk().copied().unwrap_or_default()
}

/// Tells a mixture of two writes from a write. Whoever could forge it could write to shared data.
fn checksum(bytes: &[u8]) -> Checksum {
    SipHasher13::new().hash(bytes).to_be_bytes()
}

/// The key and the payload of a value whose checksum holds.
fn whole(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (body, stored) = bytes.split_at_checked(bytes.len().checked_sub(CHECKSUM)?)?;
    if checksum(body) != stored {
        return None;
    }
    let rest = body.strip_prefix(MAGIC)?;
    let (key_len, rest) = rest.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*key_len)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_value_tells_whose_it_is() {
        let sealed = seal("zone/a", b"payload");
        assert_eq!(open("zone/a", &sealed), Opened::Payload(b"payload"));
        assert_eq!(open("zone/b", &sealed), Opened::OtherKey { key: "zone/a", payload: b"payload" });
        assert_eq!(open("zone/a", &seal("zone/a", b"")), Opened::Payload(b""));
    }

    #[test]
    fn what_is_not_ours_is_foreign_and_what_is_broken_is_torn() {
        let mut newer = seal("k", b"p");
        newer[2] += 1;
        for bytes in [&b""[..], b"B", b"{\"json\":1}", &newer] {
            assert_eq!(open("k", bytes), Opened::Foreign, "{bytes:?}");
        }
        assert_eq!(open("k", b"BK\x02"), Opened::Torn);
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_under_its_key_and_no_other(key in "\\PC{0,40}", other in "\\PC{0,40}", payload: Vec<u8>) {
            let sealed = seal(&key, &payload);
            prop_assert_eq!(open(&key, &sealed), Opened::Payload(&payload));
            if key != other {
                prop_assert_eq!(open(&other, &sealed), Opened::OtherKey { key: &key, payload: &payload });
            }
        }

        #[test]
        fn no_mixture_of_two_writes_opens(
            old in proptest::collection::vec(any::<u8>(), 1..80), new in proptest::collection::vec(any::<u8>(), 1..80),
            cut: proptest::sample::Index
        ) {
            // What a reader sees who copies while somebody writes: the new value up to a point, then the old one.
            let (old, new) = (seal("zone/key", &old), seal("zone/key", &new));
            let cut = cut.index(new.len());
            let mixed: Vec<u8> = new.iter().take(cut).chain(old.iter().skip(cut)).copied().collect();
            prop_assert!(mixed == old || mixed == new || open("zone/key", &mixed) == Opened::Torn);
        }

        #[test]
        fn no_part_of_a_value_opens(payload in proptest::collection::vec(any::<u8>(), 0..80), cut: proptest::sample::Index) {
            let sealed = seal("zone/key", &payload);
            let part = &sealed[..cut.index(sealed.len())];
            prop_assert!(!matches!(open("zone/key", part), Opened::Payload(_)));
        }

        #[test]
        fn any_bytes_can_be_opened(bytes: Vec<u8>) {
            let mut marked = MAGIC.to_vec();
            marked.extend_from_slice(&bytes);
            prop_assert!(!matches!(open("k", &bytes), Opened::Payload(_)) && !matches!(open("k", &marked), Opened::Payload(_)));
        }
    }
}
