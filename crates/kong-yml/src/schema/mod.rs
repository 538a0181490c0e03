//! The validation of filter configurations, as Kong does it before a filter sees them.
//!
//! Kong 3.9 has `lua-resty-ljsonschema` 1.2.0 for that: JSON Schema, draft 4, compiled to Lua. What it makes of a document
//! differs from other validators where Lua does: a table without members is an object and an array at once, a number
//! without a fraction is an integer, and patterns are PCRE's, on bytes. [`Schema`] judges as it does, and refuses to
//! be made of a keyword that it does not know, where the Lua library would skip it in silence.

mod check;

use regex_lite::Regex;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error, IgnoredAny};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;

/// What a filter's configuration has to be.
#[derive(Debug)]
pub struct Schema(Node);

/// Why a configuration is refused. It names what was expected, never the value that was found: that may be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Where in the configuration, such as `policy.rules[0].allow[0]`; empty for the configuration itself.
    pub path: String,
    /// What is wrong there.
    pub problem: String,
}

/// Why there is no schema to be had.
#[derive(Debug)]
pub struct SchemaError(serde_json::Error);

impl Schema {
    /// The schema of a filter's metadata, the text of `<filter>.meta.json`.
    ///
    /// # Errors
    /// When it is not JSON, or its `config_schema` is no schema, or has keywords that are not known here.
    pub fn of_metadata(text: &str) -> Result<Self, SchemaError> {
        #[derive(Deserialize)]
        struct Metadata {
            config_schema: Option<Node>,
        }
        let metadata: Metadata = serde_json::from_str(text).map_err(SchemaError)?;
        Ok(metadata.config_schema.map_or_else(Self::without_metadata, Self))
    }

    /// What Kong takes as the configuration of a filter that says nothing about it: a text, or nothing.
    pub fn without_metadata() -> Self {
        Self(Node { types: Some(vec![Type::String, Type::Null]), ..Node::default() })
    }

    /// Judges a configuration; one that is not there is `null`.
    ///
    /// # Errors
    /// The first thing that does not fit.
    pub fn check(&self, config: &Value) -> Result<(), Violation> {
        self.0.check(config)
    }
}

/// One schema or subschema.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields, remote = "Self")]
struct Node {
    // These describe and judge nothing.
    #[serde(rename = "$schema")]
    _schema: IgnoredAny,
    #[serde(rename = "title")]
    _title: IgnoredAny,
    #[serde(rename = "description")]
    _description: IgnoredAny,
    #[serde(rename = "default")]
    _default: IgnoredAny,

    #[serde(rename = "type", deserialize_with = "types")]
    types: Option<Vec<Type>>,
    #[serde(rename = "enum")]
    values: Option<Vec<Value>>,

    properties: BTreeMap<String, Node>,
    #[serde(deserialize_with = "by_pattern")]
    pattern_properties: Vec<(Pattern, Node)>,
    additional_properties: Additional,
    required: Vec<String>,
    dependencies: BTreeMap<String, Dependency>,
    min_properties: Option<usize>,
    max_properties: Option<usize>,

    items: Option<Box<Node>>,
    min_items: Option<usize>,
    max_items: Option<usize>,
    unique_items: bool,

    min_length: Option<usize>,
    max_length: Option<usize>,
    pattern: Option<Pattern>,

    minimum: Option<f64>,
    maximum: Option<f64>,
    exclusive_minimum: bool,
    exclusive_maximum: bool,

    all_of: Vec<Node>,
    any_of: Option<Vec<Node>>,
    one_of: Option<Vec<Node>>,
    not: Option<Box<Node>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Type {
    Array,
    Boolean,
    Integer,
    Null,
    Number,
    Object,
    String,
}

/// What members may be that no other keyword names.
#[derive(Debug, Default)]
enum Additional {
    #[default]
    Anything,
    Nothing,
    Fitting(Box<Node>),
}

/// What a member brings with it.
#[derive(Debug)]
enum Dependency {
    Members(Vec<String>),
    Fitting(Box<Node>),
}

#[derive(Debug)]
struct Pattern {
    text: String,
    regex: Regex,
}

impl Pattern {
    /// In PCRE, which Kong matches with, `$` is also before a line break that ends the text.
    fn new(text: String) -> Result<Self, regex_lite::Error> {
        let anchored = text.strip_suffix('$').filter(|before| !before.ends_with('\\'));
        let regex = match anchored {
            Some(before) => Regex::new(&format!("{before}\\n?$"))?,
            None => Regex::new(&text)?,
        };
        Ok(Self { text, regex })
    }

    fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

impl<'de> Deserialize<'de> for Node {
    /// Serde takes an array for a struct; a schema is an object.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let members = Map::deserialize(deserializer)?;
        Self::deserialize(Value::Object(members)).map_err(D::Error::custom)
    }
}

// Untagged enums would do for these, but tell nothing of what is wrong within.

fn types<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Type>>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let many = if value.is_array() { value } else { Value::Array(vec![value]) };
    from_value(many).map(Some)
}

fn by_pattern<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(Pattern, Node)>, D::Error> {
    let nodes = BTreeMap::<String, Node>::deserialize(deserializer)?.into_iter();
    nodes.map(|(pattern, node)| Ok((Pattern::new(pattern).map_err(D::Error::custom)?, node))).collect()
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Additional {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Bool(true) => Ok(Self::Anything),
            Value::Bool(false) => Ok(Self::Nothing),
            schema => from_value(schema).map(Self::Fitting),
        }
    }
}

impl<'de> Deserialize<'de> for Dependency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if value.is_array() { from_value(value).map(Self::Members) } else { from_value(value).map(Self::Fitting) }
    }
}

fn from_value<T: DeserializeOwned, E: Error>(value: Value) -> Result<T, E> {
    serde_json::from_value(value).map_err(E::custom)
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.problem) } else { write!(f, "{}: {}", self.path, self.problem) }
    }
}

impl std::error::Error for Violation {}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no schema that is understood here: {}", self.0)
    }
}

impl std::error::Error for SchemaError {}

#[cfg(test)]
mod tests;
