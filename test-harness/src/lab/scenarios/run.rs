//! Sending the requests of a table to a gateway.

use super::table::{Group, Provider, RequestSpec, Scenario, Step};
use crate::host::Profile;
use crate::lab::http::{Base, Client, FetchError, Incoming, Outgoing, header_map};
use crate::lab::resolve::Resolve;
use http::Method;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};

/// How long any one answer may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// The gateway under test and the identity provider it trusts.
#[derive(Debug, Clone)]
pub struct Target {
    /// The gateway.
    pub gateway: Base,
    /// The development identity provider.
    pub idp: Base,
    /// Which gateway it is: the table expects less of Kong in some places.
    kind: Profile,
    client: Client,
}

/// What came of a scenario.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// The capability.
    pub group: String,
    /// The scenario.
    pub name: String,
    /// What is wrong; empty when it passed.
    pub faults: Vec<String>,
    /// How long it took.
    pub milliseconds: u128,
}

impl Outcome {
    /// Whether nothing is wrong.
    pub fn passed(&self) -> bool {
        self.faults.is_empty()
    }
}

/// Who sees each request and its answer, and says what is wrong with them.
pub type Witness<'a> = &'a mut dyn FnMut(&Outgoing, &Incoming) -> Vec<String>;

/// Why a request could not be made or answered.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error("identity provider: {0}")]
    Provider(FetchError),
    #[error("identity provider answered {0}: {1}")]
    NoToken(u16, String),
    #[error("gateway: {0}")]
    Gateway(FetchError),
    #[error("method {0:?} cannot be sent")]
    Method(String),
}

impl Target {
    /// A target: a gateway of this kind.
    pub fn new(gateway: Base, idp: Base, resolve: Resolve, kind: Profile) -> Self {
        Self { gateway, idp, kind, client: Client::new(resolve, Duration::from_secs(5)) }
    }

    /// Waits until gateway and provider take connections.
    ///
    /// # Errors
    /// When one of them has not within `patience`.
    pub async fn wait_until_up(&self, patience: Duration) -> Result<(), FetchError> {
        let end = Instant::now() + patience;
        for base in [&self.gateway, &self.idp] {
            while let Err(error) = self.client.get(base, "/", PATIENCE).await {
                if Instant::now() >= end {
                    return Err(FetchError::Connect(format!("{base}: {error}")));
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        Ok(())
    }

    /// Runs the scenarios whose group or name contains `filter`, one after the other; `each` hears of each.
    pub async fn run(&self, groups: &[Group], filter: Option<&str>, each: impl FnMut(&Outcome)) -> Vec<Outcome> {
        self.run_before(groups, filter, each, &mut |_, _| Vec::new()).await
    }

    /// The same before a witness, who sees each request and its answer and says what is wrong with them.
    pub async fn run_before(
        &self,
        groups: &[Group],
        filter: Option<&str>,
        mut each: impl FnMut(&Outcome),
        witness: Witness<'_>,
    ) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for group in groups {
            for scenario in &group.scenarios {
                if !filter.is_none_or(|part| group.group.contains(part) || scenario.name.contains(part)) {
                    continue;
                }
                let outcome = self.scenario(&group.group, scenario, witness).await;
                each(&outcome);
                outcomes.push(outcome);
            }
        }
        outcomes
    }

    async fn scenario(&self, group: &str, scenario: &Scenario, witness: Witness<'_>) -> Outcome {
        let start = Instant::now();
        let run = format!("{:08x}", rand::random::<u32>());
        let steps = scenario.steps();
        let mut faults = Vec::new();
        let mut retry_after = None;
        for (index, step) in steps.iter().enumerate() {
            let found = match self.step(step, &run, &mut retry_after, witness).await {
                Ok(found) => found,
                Err(error) => vec![error.to_string()],
            };
            let place = if steps.len() > 1 { format!("step {}: ", index + 1) } else { String::new() };
            faults.extend(found.into_iter().map(|fault| format!("{place}{fault}")));
            if !faults.is_empty() {
                break;
            }
        }
        let (group, name) = (group.to_owned(), scenario.name.clone());
        Outcome { group, name, faults, milliseconds: start.elapsed().as_millis() }
    }

    /// `retry_after` is that of the answer before, in seconds.
    async fn step(
        &self,
        step: &Step,
        run: &str,
        retry_after: &mut Option<u64>,
        witness: Witness<'_>,
    ) -> Result<Vec<String>, StepError> {
        if step.wait_retry_after {
            match retry_after.filter(|seconds| *seconds <= PATIENCE.as_secs()) {
                Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
                None => {
                    return Ok(vec![format!(
                        "retry-after: expected up to {} seconds, found {retry_after:?}",
                        PATIENCE.as_secs()
                    )]);
                }
            }
        }
        if step.wait_ms > 0 {
            tokio::time::sleep(Duration::from_millis(step.wait_ms)).await;
        }
        if let Some(provider) = &step.provider {
            self.control(provider).await?;
        }
        let (Some(request), Some(expect)) = (&step.request, step.expected(self.kind)) else { return Ok(Vec::new()) };
        for turn in 1..=step.repeat {
            let request = self.request(request, run).await?;
            let answer = self.client.send(request.clone(), PATIENCE).await.map_err(StepError::Gateway)?;
            *retry_after = answer.header("retry-after").and_then(|seconds| seconds.parse().ok());
            let mut faults = expect.faults(&answer);
            faults.extend(witness(&request, &answer));
            if !faults.is_empty() {
                if step.repeat > 1 {
                    faults.push(format!("(request {turn} of {})", step.repeat));
                }
                return Ok(faults);
            }
        }
        Ok(Vec::new())
    }

    /// A request as the table describes it.
    async fn request(&self, spec: &RequestSpec, run: &str) -> Result<Outgoing, StepError> {
        let fill = |text: &str| text.replace("{run}", run);
        let mut headers: Vec<(String, Vec<u8>)> = Vec::new();
        for (name, values) in &spec.headers {
            headers.extend(values.all().iter().map(|value| (name.clone(), fill(value).into_bytes())));
        }
        let mut path = fill(&spec.path);
        if let Some(token) = &spec.token {
            let token = self.token(token, run).await?;
            path = path.replace("{token}", &token);
            match &spec.token_in {
                Some(places) => headers.extend(
                    places.iter().map(|(name, text)| (name.clone(), text.replace("{token}", &token).into_bytes())),
                ),
                None => headers.push(("authorization".to_owned(), format!("Bearer {token}").into_bytes())),
            }
        }
        let method = Method::from_bytes(spec.method.as_bytes()).map_err(|_| StepError::Method(spec.method.clone()))?;
        let mut request = self.gateway.request(method, &path);
        request.headers = header_map(headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())))
            .map_err(StepError::Gateway)?;
        request.body = fill(&spec.body).into();
        Ok(request)
    }

    /// Asks the identity provider for a token: of a persona by name, or as specified.
    async fn token(&self, spec: &Value, run: &str) -> Result<String, StepError> {
        let spec = match filled(spec, run) {
            Value::String(user) => json!({"user": user}),
            other => other,
        };
        let answer = self.provider("/token", &spec).await?;
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        match body.get("access_token").and_then(Value::as_str) {
            Some(token) => Ok(token.to_owned()),
            None => Err(StepError::NoToken(answer.status, String::from_utf8_lossy(&answer.body).into_owned())),
        }
    }

    async fn control(&self, provider: &Provider) -> Result<(), StepError> {
        let body = serde_json::to_value(provider).unwrap_or_default();
        let answer = self.provider("/control", &body).await?;
        match answer.status {
            200 => Ok(()),
            status => Err(StepError::NoToken(status, String::from_utf8_lossy(&answer.body).into_owned())),
        }
    }

    async fn provider(&self, path: &str, body: &Value) -> Result<Incoming, StepError> {
        let mut request = self.idp.request(Method::POST, path);
        request.headers =
            header_map([("content-type", b"application/json".as_slice())]).map_err(StepError::Provider)?;
        request.body = body.to_string().into();
        self.client.send(request, PATIENCE).await.map_err(StepError::Provider)
    }
}

/// Puts the run's letters into every text.
fn filled(value: &Value, run: &str) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace("{run}", run)),
        Value::Array(items) => items.iter().map(|item| filled(item, run)).collect(),
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| (name.replace("{run}", run), filled(value, run)));
            Value::Object(members.collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}
