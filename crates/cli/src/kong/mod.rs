//! What Kong takes in a declarative configuration.

mod rules;

use kong_yml::schema::{Schema, SchemaError, Violation};
use serde_json::Value;
use std::sync::LazyLock;

pub use rules::{host_fault, method_fault, name_fault, path_fault, tag_fault};

/// The tag of everything that `generate` writes, by which it knows its own.
pub const MANAGED: &str = "managed-by:backstage-kong";
/// The filter's name in Kong.
pub const FILTER: &str = "backstage_kong";

static SCHEMA: LazyLock<Result<Schema, SchemaError>> =
    LazyLock::new(|| Schema::of_metadata(include_str!("../../../../kong/filters/backstage_kong.meta.json")));

/// Where and why Kong refuses a configuration of the filter, by the schema in the filter's metadata; `.` is the configuration itself.
pub fn config_fault(config: &Value) -> Option<(String, String)> {
    match &*SCHEMA {
        Ok(schema) => {
            let Violation { path, problem } = schema.check(config).err()?;
            Some((if path.is_empty() { ".".to_owned() } else { path }, problem))
        }
        Err(error) => Some((".".to_owned(), error.to_string())),
    }
}
