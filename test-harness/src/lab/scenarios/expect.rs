//! What an answer must be like, and whether it is.

use crate::lab::http::Incoming;
use regex_lite::Regex;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::collections::BTreeMap;

/// What an answer must be like. What is not named does not matter.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expected {
    /// The status, or one of several where gateways differ.
    pub status: Statuses,
    /// Member `reason` of the problem (RFC 9457); its media type is checked, too.
    pub reason: Option<String>,
    /// Member `type` of the problem.
    pub problem_type: Option<String>,
    /// Response headers by name; of several of one name the values are joined with `, `.
    pub headers: BTreeMap<String, Condition>,
    /// Values of the JSON body by JSON Pointer.
    pub body: BTreeMap<String, Condition>,
    /// Request headers as the sample upstream got them, by name.
    pub upstream: BTreeMap<String, Condition>,
    /// The path as the sample upstream got it.
    pub upstream_path: Option<Condition>,
}

/// One status or several; none stands for 200.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(untagged)]
pub enum Statuses {
    /// 200.
    #[default]
    Ok,
    /// This one.
    One(u16),
    /// Any of these.
    AnyOf(Vec<u16>),
}

/// What a value must be like.
#[derive(Debug, Clone)]
pub enum Condition {
    /// `null`: it must not be there.
    Absent,
    /// A scalar or list: it must be equal.
    Equal(Value),
    /// `{present: true}`.
    Present,
    /// `{empty: true}`: not there, or there with nothing in it.
    Empty,
    /// `{contains: text}`.
    Contains(String),
    /// `{lacks: text}`: there or not, the text is not in it.
    Lacks(String),
    /// `{matches: regex}`.
    Matches(Regex),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
enum Word {
    Present(bool),
    Empty(bool),
    Contains(String),
    Lacks(String),
    Matches(String),
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let value = Value::deserialize(from)?;
        if value.is_null() {
            return Ok(Self::Absent);
        }
        if !value.is_object() {
            return Ok(Self::Equal(value));
        }
        Ok(match serde_json::from_value(value).map_err(D::Error::custom)? {
            Word::Present(true) => Self::Present,
            Word::Present(false) => Self::Absent,
            Word::Empty(false) => return Err(D::Error::custom("`empty` takes true only")),
            Word::Empty(true) => Self::Empty,
            Word::Contains(text) => Self::Contains(text),
            Word::Lacks(text) => Self::Lacks(text),
            Word::Matches(regex) => Self::Matches(Regex::new(&regex).map_err(D::Error::custom)?),
        })
    }
}

impl Condition {
    /// What is wrong with `found`, if anything.
    pub fn check(&self, found: Option<&Value>) -> Option<String> {
        let shown = || found.map_or_else(|| "nothing".to_owned(), |value| short(value.to_string()));
        let text = found.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        let (fits, wanted) = match self {
            Self::Absent => (found.is_none(), "nothing".to_owned()),
            Self::Present => (found.is_some(), "something".to_owned()),
            Self::Empty => (text.is_none_or(|text| text.is_empty()), "nothing, or an empty text".to_owned()),
            Self::Equal(wanted) => (found == Some(wanted), wanted.to_string()),
            Self::Contains(part) => (text.is_some_and(|text| text.contains(part)), format!("something with {part:?}")),
            Self::Lacks(part) => (!text.is_some_and(|text| text.contains(part)), format!("something without {part:?}")),
            Self::Matches(regex) => (text.is_some_and(|text| regex.is_match(&text)), format!("a match of {regex}")),
        };
        (!fits).then(|| format!("expected {wanted}, found {}", shown()))
    }
}

impl Expected {
    /// Everything that is wrong with an answer.
    pub fn faults(&self, answer: &Incoming) -> Vec<String> {
        let mut faults = Vec::new();
        let json: Option<Value> = serde_json::from_slice(&answer.body).ok();
        let at = |pointer: &str| json.as_ref().and_then(|json| json.pointer(pointer));
        if !self.status.fits(answer.status) {
            faults.push(format!("status: expected {}, found {}", self.status, answer.status));
        }
        let mut fault = |what: &str, condition: &Condition, found: Option<&Value>| {
            faults.extend(condition.check(found).map(|problem| format!("{what}: {problem}")));
        };
        if self.reason.is_some() || self.problem_type.is_some() {
            let media_type = Condition::Contains("application/problem+json".to_owned());
            fault("header content-type", &media_type, joined(answer, "content-type").as_ref());
        }
        for (pointer, wanted) in [("/reason", &self.reason), ("/type", &self.problem_type)] {
            if let Some(wanted) = wanted {
                fault(pointer, &Condition::Equal(wanted.as_str().into()), at(pointer));
            }
        }
        for (name, condition) in &self.headers {
            fault(&format!("header {name}"), condition, joined(answer, name).as_ref());
        }
        for (pointer, condition) in &self.body {
            fault(&format!("body {pointer}"), condition, at(pointer));
        }
        let reached = at("/headers").and_then(Value::as_object);
        if reached.is_none() && !(self.upstream.is_empty() && self.upstream_path.is_none()) {
            faults.push("the request did not reach the upstream".to_owned());
            return faults;
        }
        let mut fault = |what: &str, condition: &Condition, found: Option<&Value>| {
            faults.extend(condition.check(found).map(|problem| format!("{what}: {problem}")));
        };
        for (name, condition) in &self.upstream {
            fault(&format!("upstream header {name}"), condition, reached.and_then(|headers| headers.get(name)));
        }
        if let Some(condition) = &self.upstream_path {
            fault("upstream path", condition, at("/path"));
        }
        faults
    }
}

/// Tokens are long, and no reader of a report wants all of one.
fn short(text: String) -> String {
    match text.char_indices().nth(160) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

fn joined(answer: &Incoming, name: &str) -> Option<Value> {
    let values: Vec<_> =
        answer.headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
    (!values.is_empty()).then(|| Value::String(values.join(", ")))
}

impl Statuses {
    fn fits(&self, status: u16) -> bool {
        match self {
            Self::Ok => status == 200,
            Self::One(wanted) => status == *wanted,
            Self::AnyOf(wanted) => wanted.contains(&status),
        }
    }
}

impl std::fmt::Display for Statuses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ok => f.write_str("200"),
            Self::One(status) => status.fmt(f),
            Self::AnyOf(list) => f.write_str(&list.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")),
        }
    }
}
