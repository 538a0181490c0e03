//! Shared data with the faults that a proxy's has now and then.

use super::{Expect, MemoryStore, SharedData, StoreFailed, Stored, WriteError};
use std::cell::{Cell, RefCell};

/// Shared data that fails.
pub(crate) struct BrokenStore;

impl SharedData for BrokenStore {
    fn get(&self, _: &str) -> Result<Option<Stored>, StoreFailed> {
        Err(StoreFailed)
    }

    fn set(&self, _: &str, _: &[u8], _: Expect) -> Result<(), WriteError> {
        Err(WriteError::Failed)
    }
}

/// Shared data that misbehaves where a test says so.
#[derive(Default)]
pub(crate) struct FaultyStore {
    pub store: MemoryStore,
    /// Two beginnings of keys that are one, as keys of one CRC32 are on Kong, whatever comes after them.
    pub same: RefCell<Option<(String, String)>>,
    /// How many of the next reads that find something come out torn.
    pub torn: Cell<u32>,
    /// Before how many of the next writes another worker writes what is there once more.
    pub overtaken: Cell<u32>,
}

impl FaultyStore {
    /// Makes two keys one.
    pub(crate) fn collide(&self, one: &str, other: &str) {
        self.same.replace(Some((one.to_owned(), other.to_owned())));
    }

    /// Writes these bytes, whatever is there.
    pub(crate) fn plant(&self, key: &str, bytes: &[u8]) {
        let found = self.store.get(key).unwrap();
        let expect = found.map_or(Expect::Absent, |stored| Expect::Version(stored.version));
        self.store.set(key, bytes, expect).unwrap();
    }

    fn name(&self, key: &str) -> String {
        match &*self.same.borrow() {
            Some((one, other)) if key.starts_with(other.as_str()) => key.replacen(other.as_str(), one, 1),
            _ => key.to_owned(),
        }
    }
}

fn take_one(left: &Cell<u32>) -> bool {
    let is_left = left.get() > 0;
    left.set(left.get().saturating_sub(1));
    is_left
}

impl SharedData for FaultyStore {
    fn get(&self, key: &str) -> Result<Option<Stored>, StoreFailed> {
        let found = self.store.get(&self.name(key))?;
        Ok(found.map(|stored| {
            let half = stored.bytes.len() / 2;
            if !take_one(&self.torn) {
                return stored;
            }
            let bytes = stored.bytes.iter().enumerate().map(|(at, byte)| if at < half { *byte } else { !byte });
            Stored { bytes: bytes.collect(), ..stored }
        }))
    }

    fn set(&self, key: &str, value: &[u8], expect: Expect) -> Result<(), WriteError> {
        let key = self.name(key);
        if let Some(stored) = self.store.get(&key).unwrap().filter(|_| take_one(&self.overtaken)) {
            self.store.set(&key, &stored.bytes, Expect::Version(stored.version)).unwrap();
        }
        self.store.set(&key, value, expect)
    }
}
