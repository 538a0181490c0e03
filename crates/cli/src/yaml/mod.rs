//! YAML that knows on which lines it stands.
//!
//! Errors have to name the line of a field, and merging into a file has to know which lines an item is on; readers on top of
//! serde tell neither. [`load`] makes [`Node`]s of the events of `saphyr-parser`.

mod kong;
mod load;
mod locate;
mod scalar;
mod write;

pub use kong::{Otherwise, read_otherwise};
pub use load::{LoadError, load};
pub use locate::line_of;
pub use write::write;

use serde_json::Number;

/// A value and the lines that it is on.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The first, from 1.
    pub line: usize,
    /// Column of its first character, from 0.
    pub column: usize,
    /// The last.
    pub last_line: usize,
    /// Whether it is a list or a map between brackets, or an alias of something else.
    pub is_inline: bool,
    /// The value.
    pub value: Value,
}

/// What stands there.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the file; no key comes twice.
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// The line that the key is on.
    pub line: usize,
    /// The value.
    pub value: Node,
}

impl Node {
    /// The entry of a map under a key.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The value of a map under a key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The entry under a path of keys.
    pub fn at(&self, path: &[&str]) -> Option<&Entry> {
        let (last, parents) = path.split_last()?;
        parents.iter().try_fold(self, |node, key| node.get(key))?.entry(last)
    }

    /// The entries of a map; none for anything else.
    pub fn entries(&self) -> &[Entry] {
        if let Value::Map(entries) = &self.value { entries } else { &[] }
    }

    /// The items of a list; none for anything else.
    pub fn items(&self) -> &[Node] {
        if let Value::List(items) = &self.value { items } else { &[] }
    }

    /// The text, where it is one.
    pub fn text(&self) -> Option<&str> {
        if let Value::Text(text) = &self.value { Some(text) } else { None }
    }

    /// Whether nothing stands there.
    pub fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    /// A text, or the texts of a list, with their lines.
    pub fn texts(&self) -> Vec<(usize, &str)> {
        let of = |node: &'_ Self| node.line;
        match &self.value {
            Value::Text(text) => vec![(self.line, text)],
            Value::List(items) => items.iter().filter_map(|item| Some((of(item), item.text()?))).collect(),
            _ => Vec::new(),
        }
    }

    /// The same without lines, as JSON; the order of keys is lost.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Number(number) => number.clone().into(),
            Value::Text(text) => text.clone().into(),
            Value::List(items) => items.iter().map(Self::to_json).collect(),
            Value::Map(entries) => entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.value.to_json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }

    /// The same without lines, in its order, as something that [`write()`] takes.
    pub fn to_yaml(&self) -> serde_yaml_ng::Value {
        use serde_yaml_ng::Value as Yaml;
        match &self.value {
            Value::Null => Yaml::Null,
            Value::Bool(value) => (*value).into(),
            Value::Number(number) => serde_yaml_ng::to_value(number).unwrap_or_default(),
            Value::Text(text) => text.as_str().into(),
            Value::List(items) => Yaml::Sequence(items.iter().map(Self::to_yaml).collect()),
            Value::Map(entries) => {
                Yaml::Mapping(entries.iter().map(|entry| (entry.key.as_str().into(), entry.value.to_yaml())).collect())
            }
        }
    }

    /// What a catalog API sent, which stands on no line.
    pub fn from_json(json: serde_json::Value) -> Self {
        use serde_json::Value as Json;
        let value = match json {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(value),
            Json::Number(number) => Value::Number(number),
            Json::String(text) => Value::Text(text),
            Json::Array(items) => Value::List(items.into_iter().map(Self::from_json).collect()),
            Json::Object(members) => {
                let entry = |(key, value)| Entry { key, line: 0, value: Self::from_json(value) };
                Value::Map(members.into_iter().map(entry).collect())
            }
        };
        Self { line: 0, column: 0, last_line: 0, is_inline: true, value }
    }
}

#[cfg(test)]
mod tests;
