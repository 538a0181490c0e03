//! A record of shared data that is read, changed, and written if nobody else wrote.

use crate::host::{Expect, SharedData, StoreFailed, WriteError};
use crate::record::{self, Found, seal};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A record with the version under which it was read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held<T> {
    pub record: T,
    pub version: Option<Expect>,
}

/// How a write went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Write {
    Done,
    Changed,
    Failed,
}

impl<T: Serialize + DeserializeOwned> Held<T> {
    /// Reads the record. One that is damaged, or another key's, is taken for a fault: this worker then goes by its own memory.
    pub(crate) fn read(store: &dyn SharedData, key: &str) -> Result<Option<Self>, StoreFailed> {
        match record::read(store, key)? {
            Found::Absent => Ok(None),
            Found::Payload(payload, expect) => {
                let record = serde_json::from_slice(&payload).map_err(|_| StoreFailed)?;
                Ok(Some(Self { record, version: Some(expect) }))
            }
            Found::OtherKey | Found::Damaged(_) => Err(StoreFailed),
        }
    }

    /// Writes the record if nobody else did since it was read. The new version is not known, so the next look reads it.
    pub(crate) fn write(&mut self, store: &dyn SharedData, key: &str) -> Write {
        let Ok(payload) = serde_json::to_vec(&self.record) else { return Write::Failed };
        match store.set(key, &seal(key, &payload), self.version.unwrap_or(Expect::Absent)) {
            Ok(()) => {
                self.version = None;
                Write::Done
            }
            Err(WriteError::Changed) => Write::Changed,
            Err(WriteError::Failed) => Write::Failed,
        }
    }
}
