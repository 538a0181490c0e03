//! Serde's mirror of the file. Fields that only Kong knows are let pass.

use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
pub(super) struct Document {
    #[serde(rename = "_format_version")]
    pub format_version: String,
    #[serde(default)]
    pub services: Vec<Service>,
    #[serde(default)]
    pub routes: Vec<Route>,
    #[serde(default)]
    pub filter_chains: Vec<FilterChain>,
    #[serde(default)]
    pub plugins: Vec<Plugin>,
}

#[derive(Deserialize)]
pub(super) struct Service {
    pub name: Option<String>,
    pub url: Option<String>,
    pub protocol: Option<String>,
    pub host: Option<String>,
    pub port: Option<u16>,
    pub path: Option<String>,
    #[serde(default = "a_minute")]
    pub connect_timeout: u64,
    #[serde(default = "a_minute")]
    pub read_timeout: u64,
    #[serde(default)]
    pub tags: Vec<String>,
    #[serde(default)]
    pub routes: Vec<Route>,
    #[serde(default)]
    pub filter_chains: Vec<FilterChain>,
    #[serde(default)]
    pub plugins: Vec<Plugin>,
}

#[derive(Deserialize)]
pub(super) struct Route {
    pub name: Option<String>,
    pub service: Option<Reference>,
    #[serde(default)]
    pub paths: Vec<String>,
    #[serde(default)]
    pub methods: Vec<String>,
    #[serde(default)]
    pub hosts: Vec<String>,
    #[serde(default = "yes")]
    pub strip_path: bool,
    #[serde(default)]
    pub preserve_host: bool,
    #[serde(default)]
    pub regex_priority: i64,
    #[serde(default)]
    pub tags: Vec<String>,
    #[serde(default)]
    pub filter_chains: Vec<FilterChain>,
    #[serde(default)]
    pub plugins: Vec<Plugin>,
}

#[derive(Deserialize)]
pub(super) struct FilterChain {
    #[serde(default = "yes")]
    pub enabled: bool,
    pub route: Option<Reference>,
    pub service: Option<Reference>,
    pub filters: Vec<Filter>,
}

#[derive(Deserialize)]
pub(super) struct Filter {
    pub name: String,
    #[serde(default = "yes")]
    pub enabled: bool,
    #[serde(default)]
    pub config: Value,
}

#[derive(Deserialize)]
pub(super) struct Plugin {
    pub name: String,
    #[serde(default = "yes")]
    pub enabled: bool,
    #[serde(default)]
    pub config: Value,
    pub route: Option<Reference>,
    pub service: Option<Reference>,
    pub consumer: Option<Value>,
    pub consumer_group: Option<Value>,
}

/// `service: name`, or `service: {name: name}`.
#[derive(Deserialize, Clone)]
#[serde(untagged)]
pub(super) enum Reference {
    Name(String),
    Object { name: String },
}

impl Reference {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Name(name) | Self::Object { name } => name,
        }
    }
}

fn yes() -> bool {
    true
}

/// Kong's default, in milliseconds.
fn a_minute() -> u64 {
    60_000
}
