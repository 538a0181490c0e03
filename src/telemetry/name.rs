//! Names of metric series, with the labels in them.

use sha2::{Digest, Sha256};
use std::fmt::Write;

/// Longest label value in bytes; together with the longest family and labels a name stays within the 256 bytes that Kong has
/// for it and for its own prefix.
const MAX_VALUE: usize = 44;

/// A label and its value.
pub(super) type Label<'a> = (&'static str, &'a str);

/// The name of a series.
pub(super) fn name(family: &str, labels: &[Label<'_>]) -> String {
    let mut name = family.to_owned();
    for (label, value) in labels {
        name.push(';');
        name.push_str(label);
        name.push('=');
        push_value(&mut name, value);
    }
    name
}

/// Writes a value with none of the characters that end a label, shortened to a prefix and a digest where it is too long.
fn push_value(name: &mut String, value: &str) {
    let clean = |c: char| if c.is_ascii_alphanumeric() || "-_.:/+".contains(c) { c } else { '_' };
    if value.len() <= MAX_VALUE {
        name.extend(value.chars().map(clean));
    } else {
        name.extend(value.chars().take(MAX_VALUE - 9).map(clean));
        // The digest is the same on every node, so that a series keeps its name. Writing to a String does not fail.
        let _ = write!(name, "_{:08x}", digest(value));
    }
}

/// Tells shortened values apart.
fn digest(text: &str) -> u32 {
    Sha256::digest(text.as_bytes()).first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes))
}
