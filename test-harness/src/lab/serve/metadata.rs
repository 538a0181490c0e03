//! What stands beside a filter: `<filter>.meta.json`, read once, at the start, as Kong does.

use crate::host::{LabelPattern, Profile};
use anyhow::Context;
use kong_yml::schema::Schema;
use std::io::ErrorKind;
use std::path::Path;

/// A filter's metadata.
#[derive(Debug)]
pub(super) struct Metadata {
    /// What its configurations have to be. Envoy validates none.
    pub(super) schema: Option<Schema>,
    /// How labels are read from the names of its metrics.
    pub(super) labels: Vec<LabelPattern>,
}

impl Metadata {
    pub(super) fn load(directory: &Path, filter: &str, profile: Profile) -> anyhow::Result<Self> {
        let path = directory.join(format!("{filter}.meta.json"));
        let text = match std::fs::read_to_string(&path) {
            // One that is not there says nothing.
            Err(error) if error.kind() == ErrorKind::NotFound => "{}".to_owned(),
            text => text.with_context(|| path.display().to_string())?,
        };
        let schema = profile.is_kong().then(|| Schema::of_metadata(&text)).transpose();
        let schema = schema.with_context(|| path.display().to_string())?;
        Ok(Self { schema, labels: LabelPattern::from_metadata(&text).with_context(|| path.display().to_string())? })
    }
}
