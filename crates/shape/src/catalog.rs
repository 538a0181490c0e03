//! `catalog`.

use crate::values::{List, Secret};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalog {
    pub url: String,
    pub upstream: Option<String>,
    pub token: Option<Secret>,
    #[serde(default = "minute")]
    pub refresh_seconds: u64,
    #[serde(default = "five_thousand")]
    pub timeout_ms: u64,
    #[serde(default = "five_hundred")]
    pub page_size: u64,
    #[serde(default = "hour")]
    pub max_stale_seconds: u64,
    #[serde(default)]
    pub on_stale: OnStale,
    #[serde(default)]
    pub consumers: Consumers,
    #[serde(default)]
    pub system_consumers: bool,
    #[serde(default)]
    pub parent_groups: bool,
    #[serde(default)]
    pub group_annotations: List<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum OnStale {
    #[default]
    Deny,
    Allow,
    Static,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Consumers {
    #[default]
    Declared,
    Approved,
    None,
}

fn minute() -> u64 {
    60
}

fn hour() -> u64 {
    3_600
}

fn five_hundred() -> u64 {
    500
}

fn five_thousand() -> u64 {
    5_000
}
