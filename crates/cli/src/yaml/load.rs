//! Text → [`Node`]s.

use super::scalar::plain;
use super::{Entry, Node, Value};
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};
use std::borrow::Cow;
use std::collections::HashMap;

/// Deepest nesting: nodes are dropped and walked by recursion.
const MAX_DEPTH: usize = 100;
/// Most nodes, aliases counted as what they stand for, so that a few lines of aliases of aliases cannot fill the memory.
const MAX_NODES: usize = 1_000_000;

/// Why a text cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct LoadError {
    /// Where.
    pub line: usize,
    /// What is wrong.
    pub problem: String,
}

/// Reads all documents of a text. An empty document is a [`Value::Null`].
///
/// # Errors
/// The first place that is no YAML, a key that stands twice in one map, or nesting without measure.
pub fn load(text: &str) -> Result<Vec<Node>, LoadError> {
    let mut loader = Loader::default();
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| scan_error(&error, text))?;
        loader.take(event, span)?;
    }
    Ok(loader.documents)
}

/// What is missing at the end is missed on the last line.
fn scan_error(error: &ScanError, text: &str) -> LoadError {
    let last = text.lines().count().max(1);
    LoadError { line: error.marker().line().clamp(1, last), problem: format!("is not YAML: {}", error.info()) }
}

#[derive(Default)]
struct Loader {
    documents: Vec<Node>,
    open: Vec<Open>,
    /// What anchors name, with the number of nodes in it.
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

/// A list or a map that is being read.
struct Open {
    node: Node,
    anchor: usize,
    /// A key that waits for its value.
    key: Option<(String, usize)>,
    nodes_before: usize,
}

impl Loader {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), LoadError> {
        let line = span.start.line();
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = scalar(text, style, tag.as_deref());
                let node = Node { last_line: last_line(span, style), ..node(span, value) };
                self.anchor(anchor, &node, 1);
                self.add(node, 1)
            }
            Event::Alias(anchor) => {
                let Some((node, size)) = self.anchors.get(&anchor).cloned() else {
                    return Err(fault(line, "is an alias of something that it is a part of"));
                };
                let (column, last_line) = (span.start.col(), span.end.line());
                self.add(Node { line, column, last_line, is_inline: true, ..node }, size)
            }
            Event::SequenceStart(anchor, _) => self.open(span, anchor, Value::List(Vec::new())),
            Event::MappingStart(anchor, _) => self.open(span, anchor, Value::Map(Vec::new())),
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {
                Ok(())
            }
        }
    }

    fn open(&mut self, span: Span, anchor: usize, value: Value) -> Result<(), LoadError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(fault(span.start.line(), "is nested too deeply; 100 levels are the most"));
        }
        let node = node(span, value);
        self.open.push(Open { node, anchor, key: None, nodes_before: self.nodes });
        Ok(())
    }

    fn close(&mut self, span: Span) -> Result<(), LoadError> {
        let Some(Open { mut node, anchor, nodes_before, .. }) = self.open.pop() else { return Ok(()) };
        // The end of what is not between brackets is only seen at the next token: its last line is that of its last part.
        if !span.is_empty() {
            node.is_inline = true;
            node.last_line = span.end.line();
        }
        merge_keys(&mut node)?;
        let size = self.nodes - nodes_before + 1;
        self.anchor(anchor, &node, size);
        self.nodes = nodes_before;
        self.add(node, size)
    }

    fn anchor(&mut self, anchor: usize, node: &Node, size: usize) {
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), size));
        }
    }

    /// Puts a node where it belongs: under the key that waits, into the list, or among the documents.
    fn add(&mut self, node: Node, size: usize) -> Result<(), LoadError> {
        self.nodes += size;
        if self.nodes > MAX_NODES {
            return Err(fault(node.line, "grows without measure by its aliases"));
        }
        let Some(parent) = self.open.last_mut() else {
            self.documents.push(node);
            return Ok(());
        };
        parent.node.last_line = parent.node.last_line.max(node.last_line);
        match (&mut parent.node.value, parent.key.take()) {
            (Value::List(items), _) => items.push(node),
            (Value::Map(entries), Some((key, line))) => {
                if let Some(first) = entries.iter().find(|entry| entry.key == key && key != MERGE) {
                    let problem = format!("has the key {key:?} twice, first on line {}; keep one of them", first.line);
                    return Err(fault(line, problem));
                }
                entries.push(Entry { key, line, value: node });
            }
            (_, None) => parent.key = Some((key(&node)?, node.line)),
            _ => {}
        }
        Ok(())
    }
}

/// YAML 1.1's key for "and all of that map", which Kong's reader knows.
const MERGE: &str = "<<";

fn merge_keys(node: &mut Node) -> Result<(), LoadError> {
    let Value::Map(entries) = &mut node.value else { return Ok(()) };
    let mut merged = Vec::new();
    for entry in entries.iter().filter(|entry| entry.key == MERGE) {
        let maps = match &entry.value.value {
            Value::List(items) => items.as_slice(),
            _ => std::slice::from_ref(&entry.value),
        };
        for map in maps {
            let Value::Map(inherited) = &map.value else {
                return Err(fault(entry.line, "merges something that is no map"));
            };
            merged.extend(inherited.iter().cloned());
        }
    }
    entries.retain(|entry| entry.key != MERGE);
    for entry in merged {
        if entries.iter().all(|own| own.key != entry.key) {
            entries.push(entry);
        }
    }
    Ok(())
}

fn key(node: &Node) -> Result<String, LoadError> {
    Ok(match &node.value {
        Value::Text(text) => text.clone(),
        Value::Null => String::new(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::List(_) | Value::Map(_) => return Err(fault(node.line, "has a key that is no text")),
    })
}

fn scalar(text: Cow<'_, str>, style: ScalarStyle, tag: Option<&Tag>) -> Value {
    let is_text = tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
    if style == ScalarStyle::Plain && !is_text { plain(&text) } else { Value::Text(text.into_owned()) }
}

/// A block scalar ends where the next token begins.
fn last_line(span: Span, style: ScalarStyle) -> usize {
    match style {
        ScalarStyle::Literal | ScalarStyle::Folded => (span.end.line() - 1).max(span.start.line()),
        _ => span.end.line(),
    }
}

fn node(span: Span, value: Value) -> Node {
    let line = span.start.line();
    Node { line, column: span.start.col(), last_line: line, is_inline: false, value }
}

fn fault(line: usize, problem: impl Into<String>) -> LoadError {
    LoadError { line, problem: problem.into() }
}
