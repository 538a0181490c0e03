//! Shared data that is no proxy's.

use super::{Expect, SharedData, StoreFailed, Stored, WriteError};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Shared data in memory with the semantics of one well-behaved node; for tests and for tools that run without a proxy.
#[derive(Debug, Default)]
pub struct MemoryStore {
    entries: RefCell<BTreeMap<String, Stored>>,
}

impl MemoryStore {
    /// Drops a value, as a full zone would.
    pub fn evict(&self, key: &str) {
        self.entries.borrow_mut().remove(key);
    }

    /// The keys that are stored.
    pub fn keys(&self) -> Vec<String> {
        self.entries.borrow().keys().cloned().collect()
    }
}

impl SharedData for MemoryStore {
    fn get(&self, key: &str) -> Result<Option<Stored>, StoreFailed> {
        Ok(self.entries.borrow().get(key).cloned())
    }

    fn set(&self, key: &str, value: &[u8], expect: Expect) -> Result<(), WriteError> {
        let mut entries = self.entries.borrow_mut();
        let version = entries.get(key).map(|stored| stored.version);
        let expected = match expect {
            Expect::Absent => None,
            Expect::Version(version) => Some(version),
        };
        if version != expected {
            return Err(WriteError::Changed);
        }
        let stored = Stored { bytes: value.to_vec(), version: version.unwrap_or(0).wrapping_add(1) };
        entries.insert(key.to_owned(), stored);
        Ok(())
    }
}
