//! A catalog's texts in shared data: for each section two places, of which one is in force.
//!
//! Who has read the catalog writes a changed section into the place that is not in force, and then the [head](super::head), which
//! says that it is now. So a section is there whole or not at all, whoever reads it at whatever moment.

use super::head::{Head, Part};
use crate::catalog::{Index, Section};
use crate::host::{SharedData, StoreFailed, WriteError};
use crate::shared_record::place::{self, Found};

/// Size of the chunks of a section, in bytes: small enough for a zone whose memory has been cut up.
const CHUNK: usize = 32 * 1024;
/// Most chunks: a section has 32 MB at the most.
const MAX_CHUNKS: usize = 1024;
/// The sections' names in keys, in the order of [`Head::sections`].
const NAMES: [&str; 2] = ["entities", "groups"];

pub(super) fn version(section: &Section) -> String {
    format!("{:032x}", section.version())
}

/// Reads the sections that are in force, but for those that `own` has already; `None` where there are none, and where a chunk is
/// missing, or is another section's by now.
pub(super) fn read(
    store: &dyn SharedData,
    key: &str,
    head: &Head,
    own: Option<&Index>,
) -> Result<Option<Index>, StoreFailed> {
    let Some([entities, groups]) = &head.sections else { return Ok(None) };
    let [of_entities, of_groups] = NAMES;
    let read = |name, part: &Part, own: Option<&Section>| match own.filter(|own| version(own) == part.version) {
        Some(own) => Ok(Some(own.clone())),
        None => read_section(store, key, name, part),
    };
    let entities = read(of_entities, entities, own.map(|own| &own.entities))?;
    let groups = read(of_groups, groups, own.map(|own| &own.groups))?;
    Ok(entities.zip(groups).map(|(entities, groups)| Index { entities, groups }))
}

fn read_section(store: &dyn SharedData, key: &str, name: &str, part: &Part) -> Result<Option<Section>, StoreFailed> {
    let chunks = part.chunks.min(MAX_CHUNKS);
    let mut text = Vec::with_capacity(chunks * CHUNK);
    for index in 0..chunks {
        let found = place::find(store, &chunk_key(key, name, part.slot, index), &mut |chunk, _| {
            text.extend_from_slice(chunk);
            true
        });
        if !matches!(found?, Found::Value(_)) {
            return Ok(None);
        }
    }
    let section = Section::new(text);
    Ok((version(&section) == part.version).then_some(section))
}

/// Writes the sections of an index into the places that `in_force` does not name, but for those that are in force already; `anew`
/// even then, where somebody has found that a chunk is missing.
pub(super) fn write(
    store: &dyn SharedData,
    key: &str,
    index: &Index,
    in_force: Option<&[Part; 2]>,
    anew: bool,
) -> Result<[Part; 2], WriteError> {
    let [of_entities, of_groups] = NAMES;
    let (first, second) = in_force.map_or((None, None), |[first, second]| (Some(first), Some(second)));
    let write = |name, section, in_force| write_section(store, key, name, section, in_force, anew);
    Ok([write(of_entities, &index.entities, first)?, write(of_groups, &index.groups, second)?])
}

fn write_section(
    store: &dyn SharedData,
    key: &str,
    name: &str,
    section: &Section,
    in_force: Option<&Part>,
    anew: bool,
) -> Result<Part, WriteError> {
    let version = version(section);
    if let Some(part) = in_force.filter(|part| !anew && part.version == version) {
        return Ok(part.clone());
    }
    let slot = in_force.map_or(0, |part| 1 - part.slot.min(1));
    let chunks = section.text().chunks(CHUNK);
    let part = Part { version, slot, chunks: chunks.len() };
    if part.chunks > MAX_CHUNKS {
        return Err(WriteError::Failed);
    }
    for (index, chunk) in chunks.enumerate() {
        let key = chunk_key(key, name, slot, index);
        let found = place::find(store, &key, &mut |_, _| true).map_err(|StoreFailed| WriteError::Failed)?;
        found.place().write(store, &key, chunk)?;
    }
    Ok(part)
}

fn chunk_key(key: &str, name: &str, slot: u8, index: usize) -> String {
    format!("{key} {name} {slot} {index}")
}
