//! `quotas.engine`.

use crate::values::Secret;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Engine {
    pub url: String,
    pub upstream: Option<String>,
    pub user: Option<String>,
    pub password: Option<Secret>,
    #[serde(default)]
    pub synchronise: Synchronise,
    #[serde(default = "thousand")]
    pub sync_interval_ms: u64,
    #[serde(default = "two_hundred")]
    pub timeout_ms: u64,
    #[serde(default)]
    pub on_engine_error: OnEngineError,
    #[serde(default)]
    pub breaker: Breaker,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Synchronise {
    Exact,
    #[default]
    Periodic,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum OnEngineError {
    #[default]
    Local,
    Deny,
    Allow,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Breaker {
    pub failures: u64,
    pub open_seconds: u64,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { failures: 5, open_seconds: 5 }
    }
}

fn thousand() -> u64 {
    1_000
}

fn two_hundred() -> u64 {
    200
}
