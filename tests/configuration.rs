//! Holds the schema that Kong validates with (`kong/filters/backstage_kong.meta.json`) and the filter's own parser
//! together: every example passes both, every file of `examples/invalid` fails both.
//!
//! Kong's validator is `lua-resty-ljsonschema`, draft 4 only; `kong_yml::schema` judges as it does. Everything else that is
//! shipped is in `shipped.rs`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests are tests too")]

use backstage_kong::config::Config;
use kong_yml::schema::Schema;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn metadata() -> Value {
    json(&Path::new(ROOT).join("kong/filters/backstage_kong.meta.json"))
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The configurations in a folder, and those of providers, each in a folder of its own.
fn examples(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(Path::new(ROOT).join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.map(|path| if path.is_dir() { path.join("config.json") } else { path }).collect();
    files.retain(|path| path.is_file() && path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    files
}

fn schema() -> Schema {
    Schema::of_metadata(&metadata().to_string()).unwrap()
}

#[test]
fn every_example_passes_the_schema_and_the_parser() {
    let schema = schema();
    let files = examples("examples");
    assert!(files.len() >= 15, "{} examples", files.len());
    for file in files {
        if let Err(violation) = schema.check(&json(&file)) {
            panic!("{}: schema: {violation}", file.display());
        }
        if let Err(error) = Config::parse(&fs::read(&file).unwrap()) {
            panic!("{}: parser: {error}", file.display());
        }
    }
}

#[test]
fn every_invalid_example_fails_the_schema_and_the_parser() {
    let schema = schema();
    let files = examples("examples/invalid");
    assert!(files.len() >= 20, "{} invalid examples", files.len());
    for file in files {
        assert!(schema.check(&json(&file)).is_err(), "{}: the schema takes it", file.display());
        assert!(Config::parse(&fs::read(&file).unwrap()).is_err(), "{}: the parser takes it", file.display());
    }
}

#[test]
fn every_invalid_example_is_the_minimal_one_with_one_fault() {
    let schema = schema();
    let minimal = json(&Path::new(ROOT).join("examples/minimal.json"));
    assert_eq!(schema.check(&minimal), Ok(()));
    for file in examples("examples/invalid") {
        let changed = json(&file);
        let Some(changed) = changed.as_object() else { continue };
        let fields = minimal.as_object().unwrap();
        let differing = changed.keys().chain(fields.keys()).filter(|key| changed.get(*key) != fields.get(*key));
        let differing: std::collections::BTreeSet<_> = differing.collect();
        assert_eq!(differing.len(), 1, "{}: {differing:?}", file.display());
    }
}

#[test]
fn an_empty_array_that_lua_made_an_object_is_still_an_empty_array() {
    // Kong decodes and re-encodes a configuration, and Lua has one empty table for both.
    let mut minimal = json(&Path::new(ROOT).join("examples/minimal.json"));
    minimal.as_object_mut().unwrap().insert("consumers".to_owned(), serde_json::json!({}));
    assert!(Config::parse(minimal.to_string().as_bytes()).is_ok());
}

#[test]
fn a_secret_is_in_no_error_message() {
    for file in examples("examples/invalid") {
        let text = fs::read(&file).unwrap();
        let Err(error) = Config::parse(&text) else { continue };
        assert!(!error.to_string().contains("0123456789abcdef"), "{}: {error}", file.display());
    }
}

/// A second opinion, of a validator that others wrote.
#[test]
fn another_validator_of_draft_4_agrees_on_every_example() {
    let metadata = metadata();
    let config_schema = metadata.get("config_schema").unwrap();
    assert!(jsonschema::draft4::meta::is_valid(config_schema));
    let (schema, other) = (schema(), jsonschema::draft4::new(config_schema).unwrap());
    for file in ["examples", "examples/invalid"].into_iter().flat_map(examples) {
        let config = json(&file);
        assert_eq!(schema.check(&config).is_ok(), other.is_valid(&config), "{}", file.display());
    }
}

/// [`Schema::of_metadata`] knows no keywords but those that Kong's validators know. This holds the schema to what all of them,
/// and this project's, make the same of.
#[test]
fn the_schema_keeps_to_what_every_validator_of_kong_reads_alike() {
    let metadata = metadata();
    let schema = metadata.get("config_schema").unwrap();
    assert_eq!(schema.get("$schema").unwrap(), "http://json-schema.org/draft-04/schema#");
    hold(schema, "#");
}

fn hold(value: &Value, path: &str) {
    for (name, member) in value.as_object().into_iter().flatten() {
        let path = format!("{path}/{name}");
        match (name.as_str(), member) {
            // The library of Kong 3.8 (1.1.6) fails over `null` here, and then Kong takes no configuration at all.
            ("enum", Value::Array(values)) => assert!(values.iter().all(Value::is_string), "{path}"),
            ("pattern", Value::String(pattern)) => assert!(is_plain(pattern), "{path}"),
            ("patternProperties", Value::Object(patterns)) => assert!(patterns.keys().all(|p| is_plain(p)), "{path}"),
            _ => {}
        }
        hold(member, &path);
    }
    value.as_array().into_iter().flatten().for_each(|item| hold(item, path));
}

/// Whether a pattern is about a whole text, and counts nothing that PCRE, which Kong uses on bytes, would count otherwise.
fn is_plain(pattern: &str) -> bool {
    let (mut rest, mut outside) = (pattern, String::new());
    // What stands for one character becomes `c`, or `x` where that can be outside ASCII.
    while let Some((before, class)) = rest.split_once('[') {
        let end = class.match_indices(']').find(|(at, _)| !class[..*at].ends_with('\\')).unwrap().0;
        outside += &before.replace("\\.", "c");
        outside.push(if class.starts_with('^') { 'x' } else { 'c' });
        rest = &class[end + 1..];
    }
    outside += &rest.replace("\\.", "c");
    let inner = outside.strip_prefix('^').and_then(|rest| rest.strip_suffix('$'));
    pattern.is_ascii() && inner.is_some_and(|inner| !inner.contains(['^', '$', '.']) && !inner.contains("x{"))
}

#[test]
fn every_described_setting_says_what_it_does() {
    fn described(schema: &Value, path: &str) {
        for (name, value) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let path = format!("{path}.{name}");
            assert!(value.get("description").is_some_and(Value::is_string) || path.contains(".jwks."), "{path}");
            described(value, &path);
        }
    }
    described(metadata().get("config_schema").unwrap(), "");
}

#[test]
fn the_documented_defaults_are_the_parsers() {
    let metadata = metadata();
    let schema = metadata.get("config_schema").unwrap();
    let written = json(&Path::new(ROOT).join("examples/minimal.json"));
    let mut spelled = written.clone();
    fill(schema, &mut spelled);
    assert_ne!(spelled, written);
    let short = Config::parse(written.to_string().as_bytes()).unwrap();
    let long = Config::parse(spelled.to_string().as_bytes()).unwrap_or_else(|error| panic!("{error}\n{spelled:#}"));
    assert_eq!(short.credentials, long.credentials);
    assert_eq!(short.tags, long.tags);
    assert_eq!(short.audit, long.audit);
    assert_eq!(short.zones, long.zones);
    assert_eq!(short.metrics, long.metrics);
    assert_eq!((short.policy.mode, short.policy.agents), (long.policy.mode, long.policy.agents));
    let (short, long) = (short.issuers.first().unwrap(), long.issuers.first().unwrap());
    assert_eq!(short.audiences, long.audiences);
    assert_eq!(short.algorithms, long.algorithms);
    assert_eq!((short.leeway, short.max_lifetime), (long.leeway, long.max_lifetime));
    assert_eq!(short.default_kind, long.default_kind);
    assert_eq!(short.claims, long.claims);
    assert_eq!(short.users, long.users);
    assert_eq!(short.groups, long.groups);
}

/// Writes out the default of each setting that is not there.
fn fill(schema: &Value, value: &mut Value) {
    if let (Some(items), Some(values)) = (schema.get("items"), value.as_array_mut()) {
        values.iter_mut().for_each(|value| fill(items, value));
    }
    let (Some(properties), Some(members)) =
        (schema.get("properties").and_then(Value::as_object), value.as_object_mut())
    else {
        return;
    };
    for (name, property) in properties {
        // What goes with a part that is not used stays out: `quotas` as a whole is optional, for it has settings without a default.
        let absent = !members.contains_key(name);
        if let Some(default) = property.get("default").filter(|_| absent) {
            members.insert(name.clone(), default.clone());
        } else if absent && property.get("properties").is_some() && property.get("required").is_none() {
            members.insert(name.clone(), Value::Object(serde_json::Map::new()));
        }
        if let Some(member) = members.get_mut(name) {
            fill(property, member);
        }
    }
}

#[test]
fn label_patterns_read_back_every_label_of_a_metric_name() {
    let metadata = metadata();
    let patterns = metadata.pointer("/metrics/label_patterns").and_then(Value::as_array).unwrap();
    let labels: Vec<_> = patterns.iter().map(|pattern| pattern.get("label").and_then(Value::as_str).unwrap()).collect();
    let order = [
        "entity",
        "owner",
        "group",
        "decision",
        "reason",
        "class",
        "policy",
        "issuer",
        "result",
        "kind",
        "backstage",
        "le",
    ];
    // Kong searches each pattern from where the last one ended, so their order is that of the labels in a name.
    assert_eq!(labels, order);
    for (pattern, label) in patterns.iter().zip(order) {
        let expected = format!("(;{label}=([^;]+))");
        assert_eq!(pattern.get("pattern").and_then(Value::as_str).unwrap(), expected);
    }
}

/// The table of settings in `kong/settings.md` is written from the schema: `UPDATE_README=1 cargo test --test configuration`.
#[test]
fn the_operators_table_of_settings_is_the_schemas() {
    let metadata = metadata();
    let mut rows = vec!["| setting | values | default | what |".to_owned(), "| --- | --- | --- | --- |".to_owned()];
    settings(metadata.get("config_schema").unwrap(), "", &mut rows);
    hold_table("kong/settings.md", "settings", &rows);
}

/// The table of presets in `examples/README.md` is written from the presets, like the one of settings.
#[test]
fn the_examples_table_of_presets_is_the_presets() {
    let presets = json(&Path::new(ROOT).join("src/config/presets.json"));
    let presets: Vec<_> = presets.as_object().unwrap().iter().collect();
    let names: Vec<_> = presets.iter().map(|(name, _)| format!("[`{name}`]({name})")).collect();
    let mut rows = vec![format!("| | {} |", names.join(" | ")), format!("| --- |{}", " --- |".repeat(names.len()))];

    let mut defaults = BTreeMap::<String, Vec<String>>::new();
    let mut needs = vec![String::new(); presets.len()];
    for (column, (_, preset)) in presets.iter().enumerate() {
        let mut found = Vec::new();
        leaves(preset.get("defaults").unwrap(), "", &mut found);
        for (path, value) in found {
            defaults.entry(path).or_insert_with(|| vec![String::new(); presets.len()])[column] = format!("`{value}`");
        }
        // Only where the route has a catalog.
        if let Some(annotation) = preset.get("group_annotation") {
            let cells = defaults.entry("groups.annotation".to_owned());
            cells.or_insert_with(|| vec![String::new(); presets.len()])[column] =
                format!("`{annotation}`, with a `catalog`");
        }
        let paths = preset.get("needs").and_then(Value::as_object).into_iter().flatten();
        let paths: Vec<_> = paths.map(|(path, _)| format!("`{}`", path[1..].replace('/', "."))).collect();
        needs[column] = paths.join(", ");
    }
    for (path, cells) in defaults {
        rows.push(format!("| `{path}` | {} |", cells.join(" | ")));
    }
    rows.push(format!("| you set | {} |", needs.join(" | ")));
    hold_table("examples/README.md", "presets", &rows);
}

/// Every value that is not an object of settings, with the dotted path to it.
fn leaves(value: &Value, path: &str, found: &mut Vec<(String, Value)>) {
    // What stands in these is claims, which the token's issuer names, not settings.
    let is_map = ["required_claims", "claims.service"].contains(&path);
    match value.as_object().filter(|_| !is_map) {
        Some(members) => members.iter().for_each(|(name, value)| {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            leaves(value, &path, found);
        }),
        None => found.push((path.to_owned(), value.clone())),
    }
}

/// Holds the table between `<!-- {name} -->` and `<!-- end of {name} -->` to be these rows, or writes them there.
fn hold_table(file: &str, name: &str, rows: &[String]) {
    let table = format!("\n{}\n", rows.join("\n"));
    let (start, end) = (format!("<!-- {name} -->"), format!("<!-- end of {name} -->"));
    let file = Path::new(ROOT).join(file);
    let readme = fs::read_to_string(&file).unwrap();
    let (before, rest) = readme.split_once(&start).unwrap();
    let (written, after) = rest.split_once(&end).unwrap();
    if std::env::var_os("UPDATE_README").is_some() {
        fs::write(&file, format!("{before}{start}{table}{end}{after}")).unwrap();
        return;
    }
    assert!(written == table, "run UPDATE_README=1 cargo test --test configuration");
}

fn settings(schema: &Value, path: &str, rows: &mut Vec<String>) {
    let required: Vec<_> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let mut members: Vec<_> = schema.get("properties").and_then(Value::as_object).into_iter().flatten().collect();
    members.sort_by_key(|(name, _)| *name);
    for (name, setting) in members {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let is_required = required.contains(&name.as_str());
        let default = match setting.get("default") {
            Some(default) => format!("`{default}`"),
            None if is_required => "required".to_owned(),
            None => String::new(),
        };
        let text = setting.get("description").and_then(Value::as_str).unwrap_or_default();
        rows.push(format!("| `{path}` | {} | {default} | {} |", values(setting), text.replace('|', "\\|")));
        match setting.get("items").filter(|items| items.get("properties").is_some()) {
            Some(items) if name != "keys" => settings(items, &format!("{path}[]"), rows),
            _ if name != "jwks" => settings(setting, &path, rows),
            _ => {}
        }
    }
}

/// The values of a setting in a few words: the words it knows, its range, or its type.
fn values(setting: &Value) -> String {
    let words = |schema: &Value| {
        let words = schema.get("enum")?.as_array()?.iter();
        Some(words.map(|word| format!("`{}`", word.as_str().unwrap())).collect::<Vec<_>>().join(", "))
    };
    let types = match setting.get("type").unwrap() {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        one => one.as_str().unwrap().to_owned(),
    };
    if let Some(words) = words(setting) {
        return words;
    }
    if let Some(words) = setting.get("anyOf").and_then(|either| words(either.get(0)?)) {
        return format!("{words}, `null`");
    }
    if let (Some(min), Some(max)) = (setting.get("minimum"), setting.get("maximum")) {
        return format!("{min} to {max}");
    }
    match setting.get("items").and_then(words) {
        Some(words) => format!("array of {words}"),
        None => types,
    }
}
