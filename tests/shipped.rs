//! Every configuration that the repository ships, wherever it stands, is one that Kong takes and one that the filter takes.
//!
//! Files are found by walking the folders, and told apart by what is in them. A file or snippet of a new kind has to be named
//! here, so that none can be forgotten.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests are tests too")]

use backstage_kong::config::Config;
use kong_yml::schema::Schema;
use kong_yml::{Filters, KongYml};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::path::Path;
use support::{files, text};

mod support;

const FILTER: &str = "backstage_kong";

/// A configuration of the filter, and where it stands.
struct Shipped {
    at: String,
    config: Value,
}

/// What a document is.
#[derive(Debug, PartialEq)]
enum Kind {
    /// Kong's declarative configuration, or a piece of one.
    Kong,
    /// A configuration of the filter.
    Filter,
    /// Settings of the filter, or of an issuer, that are a part of a configuration.
    Piece,
    Other,
    Unknown,
}

/// By what documents are known that have nothing to do with the filter's configuration: the first of their members.
const OTHERS: [&str; 10] = [
    "backend",       // Backstage's own configuration
    "config_schema", // metadata of the filter
    "groups",        // rules of Prometheus
    "kind",          // an entity of a catalog
    "name",          // a compose file; its settings have a test of their own, tests/compose.rs
    "openapi",       // a definition of an API
    "redis_host",    // Webdis
    "run",           // steps of a pipeline
    "scrape_configs",
    "stats_config", // a piece of Envoy's configuration
];

fn metadata() -> Value {
    serde_json::from_str(&text("kong/filters/backstage_kong.meta.json")).unwrap()
}

fn schema() -> Schema {
    Schema::of_metadata(&metadata().to_string()).unwrap()
}

/// The documents of all files, each with where it stands: those of data, and those between fences in pages.
fn documents() -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for at in files() {
        // Those that are wrong on purpose have tests of their own, and their variants in tests are not shipped.
        if at.starts_with("examples/invalid/") {
            continue;
        }
        match Path::new(&at).extension().and_then(|extension| extension.to_str()) {
            Some("json" | "yaml" | "yml") => {
                found.extend(yaml(&at, &text(&at)).into_iter().map(|document| (at.clone(), document)));
            }
            Some("md") => {
                for (line, snippet) in snippets(&text(&at)) {
                    let at = format!("{at}:{line}");
                    found.extend(yaml(&at, &snippet).into_iter().map(|document| (at.clone(), document)));
                }
            }
            _ => {}
        }
    }
    found
}

fn yaml(at: &str, text: &str) -> Vec<Value> {
    let documents = serde_yaml_ng::Deserializer::from_str(text);
    documents.map(|one| Value::deserialize(one).unwrap_or_else(|error| panic!("{at}: {error}"))).collect()
}

/// What stands between fences for YAML and JSON, with the line that it begins on. `…` stands for something to be filled in.
fn snippets(page: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, bool, String)> = None;
    for (index, line) in page.lines().enumerate() {
        match (&mut open, line.trim_start().strip_prefix("```")) {
            (None, Some(language)) => {
                open = Some((index + 2, ["json", "yaml", "yml"].contains(&language), String::new()));
            }
            (None, None) => {}
            (Some(_), Some(_)) => {
                let (line, is_data, text) = open.take().unwrap();
                found.extend(is_data.then_some((line, text)));
            }
            (Some((_, _, text)), None) => {
                text.push_str(
                    &line.replace("\"…\"", "\"a-text-of-sixty-four-characters-that-stands-for-what-is-left-out-\""),
                );
                text.push('\n');
            }
        }
    }
    found
}

fn kind(at: &str, document: &Value) -> Kind {
    let schema = metadata();
    let all = |members: &Map<String, Value>, pointer: &str| {
        let settings = schema.pointer(pointer).unwrap().as_object().unwrap();
        !members.is_empty() && members.keys().all(|member| settings.contains_key(member))
    };
    match document {
        Value::Object(members) => {
            let has = |name: &str| members.contains_key(name);
            if ["_format_version", "filter_chains", "plugins"].into_iter().any(has) {
                Kind::Kong
            } else if ["policy", "issuers"].into_iter().any(has) {
                Kind::Filter
            } else if is_snippet(at) && (all(members, "/config_schema/properties") || all(members, ISSUER)) {
                Kind::Piece
            } else if OTHERS.into_iter().any(has) {
                Kind::Other
            } else {
                Kind::Unknown
            }
        }
        Value::Array(items) if items.iter().all(|item| OTHERS.iter().any(|name| item.get(name).is_some())) => {
            Kind::Other
        }
        _ => Kind::Unknown,
    }
}

fn is_snippet(at: &str) -> bool {
    at.contains(".md:")
}

const ISSUER: &str = "/config_schema/properties/issuers/items/properties";

/// The filter's configurations in a piece of Kong's declarative configuration, wherever in it they are.
fn configurations(at: &str, value: &Value, found: &mut Vec<Shipped>) {
    let inner: Vec<_> = match value {
        Value::Array(items) => {
            let name =
                |index: usize, item: &Value| item["name"].as_str().map_or_else(|| index.to_string(), str::to_owned);
            items.iter().enumerate().map(|(index, item)| (format!("{at}[{}]", name(index, item)), item)).collect()
        }
        Value::Object(members) => {
            if members.get("name").is_some_and(|name| name == FILTER) {
                let config = members.get("config").cloned().unwrap_or_default();
                found.push(Shipped { at: format!("{at}.config"), config });
                return;
            }
            members.iter().map(|(name, member)| (format!("{at}.{name}"), member)).collect()
        }
        _ => Vec::new(),
    };
    inner.into_iter().for_each(|(at, value)| configurations(&at, value, found));
}

/// Every configuration that is shipped.
fn shipped() -> Vec<Shipped> {
    let mut found = Vec::new();
    for (at, document) in documents() {
        match kind(&at, &document) {
            Kind::Kong => configurations(&at, &document, &mut found),
            Kind::Filter => found.push(Shipped { at, config: document }),
            Kind::Piece => found.push(Shipped { at, config: completed(document) }),
            Kind::Other | Kind::Unknown => {}
        }
    }
    found
}

/// The least configuration that some settings are a part of.
fn completed(piece: Value) -> Value {
    let mut whole: Value = serde_json::from_str(&text("examples/minimal.json")).unwrap();
    let Value::Object(piece) = piece else { panic!("{piece}") };
    let is_whole = piece.keys().all(|name| metadata()["config_schema"]["properties"].get(name).is_some());
    let target = if is_whole {
        &mut whole
    } else {
        // A secret is in the place of keys that are fetched.
        whole["issuers"][0] = json!({"issuer": "https://login.example.com", "audiences": ["payments"]});
        &mut whole["issuers"][0]
    };
    target.as_object_mut().unwrap().extend(piece);
    whole
}

#[test]
fn every_configuration_is_one_that_kong_takes() {
    let schema = schema();
    let shipped = shipped();
    let count = |start: &str| shipped.iter().filter(|one| one.at.starts_with(start)).count();
    // The walk has found what it is known to pass.
    for (start, at_least) in [
        ("kong/kong.yml", 18),
        ("examples/", 20),
        ("README.md", 1),
        ("kong/README.md", 1),
        ("kong/catalog.md", 1),
        ("kong/providers.md", 1),
        ("kong/quotas.md", 1),
    ] {
        assert!(count(start) >= at_least, "{start}: {}", count(start));
    }
    let judged = shipped.iter().filter_map(|one| Some(format!("{}: {}", one.at, schema.check(&one.config).err()?)));
    assert_eq!(judged.collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn every_configuration_but_the_broken_one_is_one_that_the_filter_takes() {
    let parsed =
        |one: &Shipped| Some((one.at.clone(), Config::parse(one.config.to_string().as_bytes()).err()?.to_string()));
    let refused: Vec<_> = shipped().iter().filter_map(parsed).collect();
    let broken = "kong/kong.yml.services[payments].routes[broken].filter_chains[0].filters[backstage_kong].config";
    let why = "configuration error at quotas.policies[1].name: ";
    assert!(matches!(&refused[..], [(at, error)] if at == broken && error.starts_with(why)), "{refused:#?}");
}

#[test]
fn every_declarative_file_is_read_as_a_whole() {
    let files: Vec<_> =
        documents().into_iter().filter(|(_, document)| document.get("_format_version").is_some()).collect();
    assert!(files.len() >= 2, "{}", files.len());
    for (at, _) in files {
        let (config, _) =
            KongYml::parse(&text(&at), Filters::Loaded(&[FILTER])).unwrap_or_else(|error| panic!("{at}: {error}"));
        config.validate(FILTER, &schema()).unwrap_or_else(|error| panic!("{at}: {error}"));
    }
}

/// A file or snippet of a kind that is not known may have a configuration in it that nothing validates.
#[test]
fn what_every_file_and_snippet_is_is_known() {
    let is_looked_at = |at: &str| {
        let is_data = ["examples/", "kong/"].iter().any(|folder| at.starts_with(folder));
        // Tokens for the presets' tests, one file a provider.
        (is_data || is_snippet(at)) && !at.ends_with("/tokens.json")
    };
    let unknown =
        documents().into_iter().filter(|(at, document)| is_looked_at(at) && kind(at, document) == Kind::Unknown);
    assert_eq!(unknown.map(|(at, _)| at).collect::<Vec<_>>(), [""; 0]);
}
