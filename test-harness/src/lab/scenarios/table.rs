//! The table of requests and expected answers, as `scenarios.yaml` has it.

use super::expect::Expected;
use crate::host::Profile;
use crate::lab::peers::KeySetBehaviour;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Scenarios of one capability.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// The capability.
    pub group: String,
    /// What is expected of it.
    pub scenarios: Vec<Scenario>,
}

/// One expectation: a request and its answer, or several in a row.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What holds, as a sentence.
    pub name: String,
    /// The only request.
    pub request: Option<RequestSpec>,
    /// The answer to it.
    pub expect: Option<Expected>,
    /// The answer on Kong, where Kong cannot give the same.
    pub on_kong: Option<OnKong>,
    /// Several requests instead.
    #[serde(default)]
    pub steps: Vec<Step>,
}

/// One step of a scenario.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Waits before anything else, in milliseconds.
    #[serde(default)]
    pub wait_ms: u64,
    /// Waits as long as `Retry-After` of the answer before says.
    #[serde(default)]
    pub wait_retry_after: bool,
    /// Sent to the identity provider's `/control` before the request.
    pub provider: Option<Provider>,
    /// The request.
    pub request: Option<RequestSpec>,
    /// The answer to it.
    pub expect: Option<Expected>,
    /// The answer on Kong, where Kong cannot give the same.
    pub on_kong: Option<OnKong>,
    /// How often the request is sent; the answer is the same each time.
    #[serde(default = "once")]
    pub repeat: u32,
}

/// What is expected on Kong in place of what is expected elsewhere.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnKong {
    /// Why Kong differs.
    pub why: String,
    /// The answer.
    pub expect: Expected,
}

/// What the identity provider is told.
#[derive(Debug, Clone, Copy, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// New keys.
    #[serde(default)]
    pub rotate: bool,
    /// The keys of before stay published.
    #[serde(default)]
    pub keep_old: bool,
    /// What the key set's address answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_set: Option<KeySetBehaviour>,
}

/// A request. In every text `{run}` stands for letters that differ from run to run and from scenario to scenario.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestSpec {
    /// `GET` unless given.
    #[serde(default = "get")]
    pub method: String,
    /// Path and query, sent as they stand.
    pub path: String,
    /// A persona's name, or what the identity provider makes a token of; sent as `Authorization: Bearer …`.
    pub token: Option<Value>,
    /// Sends the token some other way: `{token}` stands for it.
    pub token_in: Option<BTreeMap<String, String>>,
    /// More headers. A list sends several of one name.
    #[serde(default)]
    pub headers: BTreeMap<String, OneOrMany>,
    /// The body.
    #[serde(default)]
    pub body: String,
}

/// A text or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

/// Why a table is faulty.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct TableError {
    path: String,
    problem: String,
}

/// Reads a table.
///
/// # Errors
/// The first fault, with its path; unknown fields are faults.
pub fn parse(text: &str) -> Result<Vec<Group>, TableError> {
    let groups: Vec<Group> = serde_path_to_error::deserialize(serde_yaml_ng::Deserializer::from_str(text))
        .map_err(|error| TableError { path: error.path().to_string(), problem: error.inner().to_string() })?;
    for scenario in groups.iter().flat_map(|group| &group.scenarios) {
        let single = scenario.request.is_some() && scenario.expect.is_some() && scenario.steps.is_empty();
        let several = scenario.request.is_none() && scenario.expect.is_none() && !scenario.steps.is_empty();
        let paired = scenario.steps.iter().all(|step| step.request.is_some() == step.expect.is_some());
        if !(single || several) || !paired {
            let problem = "needs either `request` and `expect`, or `steps` that have both or neither".to_owned();
            return Err(TableError { path: scenario.name.clone(), problem });
        }
    }
    Ok(groups)
}

impl Scenario {
    /// The steps, a lone request being one.
    pub fn steps(&self) -> Vec<Step> {
        if !self.steps.is_empty() {
            return self.steps.clone();
        }
        let (request, expect, on_kong) = (self.request.clone(), self.expect.clone(), self.on_kong.clone());
        vec![Step { wait_ms: 0, wait_retry_after: false, provider: None, request, expect, on_kong, repeat: 1 }]
    }
}

impl Step {
    /// The answer that is expected of a gateway.
    pub fn expected(&self, gateway: Profile) -> Option<&Expected> {
        let on_kong = self.on_kong.as_ref().filter(|_| gateway.is_kong());
        on_kong.map(|on_kong| &on_kong.expect).or(self.expect.as_ref())
    }
}

impl OneOrMany {
    /// The texts.
    pub fn all(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
        }
    }
}

fn once() -> u32 {
    1
}

fn get() -> String {
    "GET".to_owned()
}
