//! What a node's workers know together of one catalog: a head, and for each section two places of which one is in force.
//!
//! Who has read the catalog writes a changed section into the place that is not in force, and then the head, which says that
//! it is now. So a section is there whole or not at all, whoever reads it at whatever moment.

use crate::catalog::Section;
use crate::host::{Expect, SharedData, StoreFailed, WriteError};
use crate::record::{self, Found, seal};
use serde::{Deserialize, Serialize};

/// Size of the parts of a section, in bytes: small enough for a zone whose memory has been cut up.
const CHUNK: usize = 32 * 1024;
/// Most parts: a section has 32 MB at the most.
const MAX_CHUNKS: usize = 1024;

/// The record that says what is in force. Times are milliseconds since the epoch, 0 for never.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Head {
    /// When the reading of what is in force began.
    pub fetched: u64,
    /// When the catalog is to be read anew.
    pub refresh_at: u64,
    /// Failures since the last success.
    pub failures: u32,
    /// Before when nobody tries again, after a failure.
    pub retry_at: u64,
    /// Until when somebody reads.
    pub leased_until: u64,
    /// Which reading that is.
    pub reading: u64,
    /// Entities that can be called.
    pub entities: usize,
    /// Groups.
    pub groups: usize,
    /// The sections of entities and of groups.
    pub sections: Option<[Place; 2]>,
    /// Whether a request gave up reading it because that took too long, so that requests leave it to ticks.
    pub too_long: bool,
    /// The version of the entities of a catalog that shrank so much that it is read again before it is believed.
    pub doubted: Option<String>,
}

/// Where a section is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// Its version, in hexadecimal.
    pub version: String,
    /// The place, 0 or 1.
    pub slot: u8,
    /// Number of its parts.
    pub chunks: usize,
}

pub(super) fn version(section: &Section) -> String {
    format!("{:032x}", section.version())
}

/// Reads a section; `None` where a part is missing, or is another section's by now.
pub(super) fn read(
    store: &dyn SharedData,
    key: &str,
    name: &str,
    place: &Place,
) -> Result<Option<Section>, StoreFailed> {
    let mut text = Vec::with_capacity(place.chunks.min(MAX_CHUNKS) * CHUNK);
    for index in 0..place.chunks.min(MAX_CHUNKS) {
        match record::read(store, &chunk_key(key, name, place.slot, index))? {
            Found::Payload(part, _) => text.extend_from_slice(&part),
            Found::Absent | Found::OtherKey | Found::Damaged(_) => return Ok(None),
        }
    }
    let section = Section::new(text);
    Ok((version(&section) == place.version).then_some(section))
}

/// Writes a section into the place that `in_force` is not, unless it is what is in force already; `anew` even then, where
/// somebody has found that a part of it is missing.
pub(super) fn write(
    store: &dyn SharedData,
    key: &str,
    name: &str,
    section: &Section,
    in_force: Option<&Place>,
    anew: bool,
) -> Result<Place, WriteError> {
    let version = version(section);
    if let Some(place) = in_force.filter(|place| !anew && place.version == version) {
        return Ok(place.clone());
    }
    let slot = in_force.map_or(0, |place| 1 - place.slot.min(1));
    let chunks = section.text().chunks(CHUNK);
    let place = Place { version, slot, chunks: chunks.len() };
    if place.chunks > MAX_CHUNKS {
        return Err(WriteError::Failed);
    }
    for (index, part) in chunks.enumerate() {
        let key = chunk_key(key, name, slot, index);
        let expect = match store.get(&key) {
            Ok(Some(stored)) => Expect::Version(stored.version),
            Ok(None) => Expect::Absent,
            Err(StoreFailed) => return Err(WriteError::Failed),
        };
        store.set(&key, &seal(&key, part), expect)?;
    }
    Ok(place)
}

fn chunk_key(key: &str, name: &str, slot: u8, index: usize) -> String {
    format!("{key} {name} {slot} {index}")
}
