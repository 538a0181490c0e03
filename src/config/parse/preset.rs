//! Presets: what is usual with a provider, put under what the operator says.

use super::{Parsed, not_allowed};
use crate::config::error::{ConfigError, Problem};
use serde_json::{Map, Value, json};

/// Every preset by name: `defaults` for an entry of `issuers`, what it `needs` of the operator, by JSON Pointer, and the
/// `group_annotation` of the catalog that holds what its claims call groups.
const PRESETS: &str = include_str!("../presets.json");

/// Puts the preset of each issuer that names one under the issuer's own settings.
///
/// # Errors
/// A preset that does not exist, or something that it needs and that is not there.
pub(super) fn apply(config: &mut Value) -> Parsed<()> {
    let has_catalog = config.get("catalog").is_some_and(|catalog| !catalog.is_null());
    let issuers = config.get_mut("issuers").and_then(Value::as_array_mut);
    for (index, issuer) in issuers.into_iter().flatten().enumerate() {
        let annotation = Some(&*issuer).filter(|_| has_catalog).and_then(group_annotation);
        let Some(members) = issuer.as_object_mut() else { continue };
        if let Some(name) = members.remove("preset") {
            fill(issuer, &name, &format!("issuers[{index}]"))?;
        }
        if let Some(annotation) = annotation {
            put_under(issuer, json!({"groups": {"annotation": annotation}}));
        }
    }
    Ok(())
}

/// The annotation of the catalog's groups that holds what the claims of an entry of `issuers` call them, where its preset knows one
/// and the entry does not say itself how they are named.
pub fn group_annotation(issuer: &Value) -> Option<String> {
    if ["annotation", "transform"]
        .iter()
        .any(|own| issuer.get("groups").is_some_and(|groups| groups.get(own).is_some()))
    {
        return None;
    }
    let presets: Value = serde_json::from_str(PRESETS).ok()?;
    presets.get(issuer.get("preset")?.as_str()?)?.get("group_annotation")?.as_str().map(str::to_owned)
}

fn fill(issuer: &mut Value, name: &Value, path: &str) -> Parsed<()> {
    let mut presets: Map<String, Value> =
        serde_json::from_str(PRESETS).map_err(|error| ConfigError::new(path, Problem::Json(error.to_string())))?;
    let names = presets.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    let Some(mut preset) = name.as_str().and_then(|name| presets.remove(name)) else {
        let found = name.as_str().map_or_else(|| name.to_string(), str::to_owned);
        return Err(not_allowed(format!("{path}.preset"), found, format!("one of: {names}")));
    };
    if let Some(defaults) = preset.get_mut("defaults") {
        put_under(issuer, defaults.take());
    }
    for (pointer, why) in preset.get("needs").and_then(Value::as_object).into_iter().flatten() {
        if issuer.pointer(pointer).is_none() {
            let at = format!("{path}{}", pointer.replace('/', "."));
            return Err(ConfigError::new(at, Problem::Needed(why.as_str().unwrap_or_default().to_owned())));
        }
    }
    Ok(())
}

/// Objects are put together member by member; of everything else the operator's word replaces the preset's, `null` too.
fn put_under(own: &mut Value, defaults: Value) {
    if let (Value::Object(own), Value::Object(defaults)) = (own, defaults) {
        for (name, default) in defaults {
            match own.get_mut(&name) {
                Some(value) => put_under(value, default),
                None => {
                    own.insert(name, default);
                }
            }
        }
    }
}
