//! Records as text: JSON that says its format.
//!
//! A version of this filter reads what it writes and what the version before it wrote; anything else is no record to it, and is
//! replaced. So the rules for those who change a record:
//!
//! - A member that is new has a default, and one that is unknown is ignored. That needs no new format.
//! - Where a member comes to mean something else, the format's number is one higher, and the old meaning is still read.
//! - The number stands first, so that it costs nothing to read. A record without one is of format 1.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a record begins with, before its number.
const START: &str = "{\"format\":";

/// Writes a record, which is an object with members. `None` for anything else.
pub(super) fn write<T: Serialize>(format: u32, record: &T) -> Option<Vec<u8>> {
    let record = serde_json::to_vec(record).ok()?;
    let mut text = format!("{START}{format},\"").into_bytes();
    text.extend_from_slice(record.strip_prefix(b"{\"")?);
    Some(text)
}

/// Reads a record of this format or the one before it.
pub(super) fn read<T: DeserializeOwned>(format: u32, payload: &[u8]) -> Option<T> {
    let found = format_of(payload)?;
    let is_readable = found == format || found.checked_add(1) == Some(format);
    is_readable.then(|| serde_json::from_slice(payload).ok()).flatten()
}

fn format_of(payload: &[u8]) -> Option<u32> {
    let Some(rest) = payload.strip_prefix(START.as_bytes()) else { return Some(1) };
    let number = rest.split(|byte| *byte == b',').next()?;
    std::str::from_utf8(number).ok()?.parse().ok()
}
