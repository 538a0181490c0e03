//! Kong's `request-transformer`, as far as headers are removed by it: that happens before filters run.

use super::error::Found;
use super::{KongYmlError, raw};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// The plugin's name.
pub(super) const NAME: &str = "request-transformer";

const MEMBERS: &str = "remove, and add, append, http_method, rename, replace, which do not run here";
const OTHERS: &[&str] = &["add", "append", "http_method", "rename", "replace"];

#[derive(Deserialize, Default)]
#[serde(default)]
struct Config {
    remove: Remove,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Remove {
    headers: Vec<String>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// The names in `config.remove.headers`, in lower case. What else the configuration asks for goes to `unknown`.
pub(super) fn removed_headers(
    plugin: &raw::Plugin,
    path: &str,
    unknown: &mut Vec<String>,
) -> Result<Vec<String>, KongYmlError> {
    let path = format!("{path}.config");
    let config: Config = match &plugin.config {
        Value::Null => Config::default(),
        config => serde_path_to_error::deserialize(config).map_err(|error| {
            let inner = error.path().to_string();
            let at = if inner == "." { path.clone() } else { format!("{path}.{inner}") };
            KongYmlError::new(at, Found::Shape(error.inner().to_string()))
        })?,
    };
    if let Some(name) = config.others.keys().find(|name| !OTHERS.contains(&name.as_str())) {
        return Err(KongYmlError::new(path, Found::NotAllowed(name.clone(), MEMBERS)));
    }
    let asks = |(name, value): (&String, &Value), prefix: &str| {
        let nothing = match value {
            Value::Null => true,
            Value::Array(items) => items.is_empty(),
            Value::Object(members) => members.is_empty(),
            _ => false,
        };
        (!nothing).then(|| format!("{NAME}.{prefix}{name}"))
    };
    unknown.extend(config.others.iter().filter_map(|member| asks(member, "")));
    unknown.extend(config.remove.others.iter().filter_map(|member| asks(member, "remove.")));
    let names = config.remove.headers.into_iter().enumerate();
    names.map(|(index, entry)| header_name(entry, || format!("{path}.remove.headers[{index}]"))).collect()
}

/// Kong takes what stands before a colon.
fn header_name(entry: String, path: impl Fn() -> String) -> Result<String, KongYmlError> {
    let name = entry.split(':').next().unwrap_or_default();
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if name.is_empty() || !name.bytes().all(valid) {
        return Err(KongYmlError::new(path(), Found::NotAllowed(entry, "a header's name: letters, digits, `-`, `_`")));
    }
    Ok(name.to_ascii_lowercase())
}
