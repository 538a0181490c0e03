//! Signatures that some worker of the node has verified.
//!
//! A worker knows the tokens that it has seen. During a flood it may refuse to verify others, and a good client whose connections
//! go to several workers would be known to some and refused by others. So whoever verifies a signature says so in shared data, and whoever
//! meets the token for the first time looks there before it verifies, and before it asks its budget.
//!
//! **What is remembered is a fact and not a decision:** *this key made this signature over these bytes.* It stays true for ever. Issuer,
//! times, audience, claims and scopes are checked anew by each worker, and the key has to be one that may sign for the token's issuer
//! *now* ([`Attempt::signed_by`](super::Attempt::signed_by)). So a key that was withdrawn is not honoured from here, and nothing has to
//! end. Shared secrets are left out: to verify an HMAC takes about as long as to look here.
//!
//! **Memory.** There are [`RECORDS`] records of [`ENTRIES`] signatures, some 200 KB. Where a record is full, its oldest signature is
//! forgotten. Only verified signatures are ever written, so a flood of forged ones pushes out nothing.
//!
//! **Cost.** A look is one read of shared data. A signature has its place by its own bytes, so that no hash is computed until an entry
//! begins like it; then SHA-256 over the token decides. Where two workers write a record at once, one of the two signatures is not
//! remembered, which costs another worker a verification.
//!
//! **Trust.** Only code on the gateway can write shared data. It could put keys of its own beside an issuer's just as well, so a secret
//! in the digests would protect nothing more.

use crate::bytes::is_same;
use crate::digest::digest;
use crate::host::{Expect, SharedData};
use crate::jose::KeyId;
use crate::record::{Opened, open, seal};

/// Records of a node: one for each value of a byte of the signature.
const RECORDS: usize = 256;
/// Most signatures of a record.
const ENTRIES: usize = 20;
/// Bytes of an entry: the first of the signature, its key, and a digest.
const ENTRY: usize = TAG + KEY + DIGEST;
const TAG: usize = 8;
const KEY: usize = 16;
const DIGEST: usize = 16;

/// A signature, and what is signed.
#[derive(Clone, Copy)]
pub struct Signature<'a> {
    /// What is signed.
    pub message: &'a [u8],
    /// The signature.
    pub bytes: &'a [u8],
}

impl Signature<'_> {
    /// What an entry begins with.
    fn tag(&self) -> Option<&[u8; TAG]> {
        self.bytes.first_chunk()
    }

    /// The record that it is in. Any byte of a signature would do but those that are not spread evenly: the first of RSA, and the
    /// last of Ed25519.
    fn record(&self) -> Option<usize> {
        self.bytes.get(TAG).map(|byte| usize::from(*byte) % RECORDS)
    }

    /// That the key made it. With the signature's length, so that no two tokens are hashed alike.
    fn digest(&self, key: &KeyId) -> [u8; DIGEST] {
        digest(&[&key.0, &self.bytes.len().to_be_bytes(), self.bytes, self.message])
    }
}

/// The signatures that were verified and begin alike, as they stood when they were read.
pub struct SignatureRecord {
    key: String,
    /// Nothing can be remembered where the host fails or another key is in this one's place.
    expect: Option<Expect>,
    entries: Vec<u8>,
}

impl SignatureRecord {
    /// Reads the record that a signature is in, or would be in. `None` for what is too short to be a signature.
    pub fn read(store: &dyn SharedData, zone: &str, signature: &Signature<'_>) -> Option<Self> {
        let key = format!("{zone}/signatures:{:02x}", signature.record()?);
        let (expect, entries) = match store.get(&key) {
            Err(_) => (None, Vec::new()),
            Ok(None) => (Some(Expect::Absent), Vec::new()),
            Ok(Some(stored)) => match open(&key, &stored.bytes) {
                Opened::Payload(entries) => (Some(Expect::Version(stored.version)), entries.to_vec()),
                Opened::Torn | Opened::Foreign => (Some(Expect::Version(stored.version)), Vec::new()),
                Opened::OtherKey { .. } => (None, Vec::new()),
            },
        };
        Some(Self { key, expect, entries })
    }

    /// The key that is known to have made this signature.
    pub fn signer(&self, signature: &Signature<'_>) -> Option<KeyId> {
        let tag = signature.tag()?;
        self.entries.as_chunks::<ENTRY>().0.iter().find_map(|entry| {
            let (_, rest) = entry.split_first_chunk::<TAG>().filter(|(known, _)| *known == tag)?;
            let (key, known) = rest.split_first_chunk::<KEY>()?;
            let key = KeyId(*key);
            is_same(known, &signature.digest(&key)).then_some(key)
        })
    }

    /// Remembers that the key made this signature. A write that fails is not repeated.
    pub fn remember(self, store: &dyn SharedData, signature: &Signature<'_>, key: KeyId) {
        let (Some(expect), Some(tag)) = (self.expect, signature.tag()) else { return };
        let kept = self.entries.as_chunks::<ENTRY>().0.iter().take(ENTRIES - 1);
        let mut entries = Vec::with_capacity((kept.len() + 1) * ENTRY);
        entries.extend_from_slice(tag);
        entries.extend_from_slice(&key.0);
        entries.extend_from_slice(&signature.digest(&key));
        kept.for_each(|entry| entries.extend_from_slice(entry));
        let _ = store.set(&self.key, &seal(&self.key, &entries), expect);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{BrokenStore, FaultyStore, MemoryStore};
    use std::collections::BTreeSet;

    const ONE: KeyId = KeyId([1; 16]);
    const TWO: KeyId = KeyId([2; 16]);

    fn bytes(nth: usize) -> Vec<u8> {
        let digest: [u8; 32] = digest(&[&nth.to_be_bytes()]);
        digest.repeat(2)
    }

    fn remember(store: &dyn SharedData, signature: &Signature<'_>, key: KeyId) {
        SignatureRecord::read(store, "zone", signature).unwrap().remember(store, signature, key);
    }

    fn signer(store: &dyn SharedData, signature: &Signature<'_>) -> Option<KeyId> {
        SignatureRecord::read(store, "zone", signature)?.signer(signature)
    }

    #[test]
    fn a_signature_is_known_with_its_message_whole_and_its_key() {
        let store = MemoryStore::default();
        let bytes = bytes(1);
        let signature = Signature { message: b"message", bytes: &bytes };
        assert_eq!(signer(&store, &signature), None);
        remember(&store, &signature, ONE);
        assert_eq!(signer(&store, &signature), Some(ONE));
        assert_eq!(signer(&store, &Signature { message: b"massage", ..signature }), None);
        let longer = [&bytes[..], b"m"].concat();
        assert_eq!(signer(&store, &Signature { message: b"essage", bytes: &longer }), None);
        for at in 0..bytes.len() {
            let mut other = bytes.clone();
            other[at] ^= 1;
            assert_eq!(signer(&store, &Signature { bytes: &other, ..signature }), None, "{at}");
        }
        let SignatureRecord { mut entries, .. } = SignatureRecord::read(&store, "zone", &signature).unwrap();
        entries[TAG..][..KEY].copy_from_slice(&TWO.0);
        let forged = SignatureRecord { key: String::new(), expect: None, entries };
        assert_eq!(forged.signer(&signature), None, "the digest is of the other key");
        assert!(SignatureRecord::read(&store, "zone", &Signature { bytes: &bytes[..8], ..signature }).is_none());
    }

    #[test]
    fn records_are_bounded_in_number_and_size_and_forget_the_oldest() {
        let store = MemoryStore::default();
        let all: Vec<_> = (0..20_000).map(bytes).collect();
        let of = |bytes| Signature { message: b"message", bytes };
        for bytes in &all {
            remember(&store, &of(bytes), ONE);
        }
        assert_eq!(store.keys().len(), RECORDS);
        for key in store.keys() {
            let len = store.get(&key).unwrap().unwrap().bytes.len();
            assert!(len < 1_000, "{key}: {len}");
        }
        let known: BTreeSet<_> = (0..all.len()).filter(|nth| signer(&store, &of(&all[*nth])).is_some()).collect();
        assert_eq!(known.len(), RECORDS * ENTRIES);
        assert!((0..all.len()).rev().take(RECORDS).all(|nth| known.contains(&nth)), "the last ones are there");
    }

    #[test]
    fn faults_of_shared_data_cost_a_memory_and_nothing_else() {
        let bytes = bytes(1);
        let signature = Signature { message: b"message", bytes: &bytes };
        remember(&BrokenStore, &signature, ONE);
        assert_eq!(signer(&BrokenStore, &signature), None);

        let key = SignatureRecord::read(&BrokenStore, "zone", &signature).unwrap().key;
        let store = FaultyStore::default();
        store.overtaken.set(1);
        store.plant(&key, b"what another program wrote");
        remember(&store, &signature, ONE);
        assert_eq!(signer(&store, &signature), None, "another worker wrote first");
        remember(&store, &signature, ONE);
        assert_eq!(signer(&store, &signature), Some(ONE));
        store.torn.set(1);
        assert_eq!(signer(&store, &signature), None);
        assert_eq!(signer(&store, &signature), Some(ONE));

        let other = seal("zone/of another key", b"payload");
        store.plant(&key, &other);
        remember(&store, &signature, ONE);
        assert_eq!(store.store.get(&key).unwrap().unwrap().bytes, other, "what is another key's is left alone");
        assert_eq!(signer(&store, &signature), None);
    }

    #[test]
    fn any_bytes_can_be_read_as_a_record() {
        let bytes = bytes(1);
        let signature = Signature { message: b"message", bytes: &bytes };
        let store = FaultyStore::default();
        let key = SignatureRecord::read(&store.store, "zone", &signature).unwrap().key;
        for len in [0, 1, ENTRY - 1, ENTRY, ENTRY + 1, 100 * ENTRY] {
            store.plant(&key, &seal(&key, &vec![7; len]));
            assert_eq!(signer(&store, &signature), None, "{len}");
            remember(&store, &signature, ONE);
            assert_eq!(signer(&store, &signature), Some(ONE), "{len}");
        }
    }
}
