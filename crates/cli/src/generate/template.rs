//! The part of the filter's configuration that an operator gives, for all services.

use crate::finding::{File, Finding};
use crate::yaml::{Entry, Node, Value};
use anyhow::Context;
use backstage_kong::config::Consumers;
use std::path::Path;

/// A template, with the lines of its settings.
#[derive(Debug)]
pub(super) struct Template {
    pub file: File,
    pub node: Node,
}

/// What the catalog says.
const FROM_THE_CATALOG: [&str; 3] = ["entity", "owner", "consumers"];

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(super) fn read(path: &Path) -> anyhow::Result<Result<Self, Finding>> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("the template {} cannot be read", path.display()))?;
        Ok(Self::parse(File::new(&path.to_string_lossy()), &text))
    }

    fn parse(file: File, text: &str) -> Result<Self, Finding> {
        let mut documents = file.load(text)?;
        let node = match (documents.pop(), documents.is_empty()) {
            (Some(node), true) if matches!(node.value, Value::Map(_)) => node,
            _ => return Err(Finding::error(file.line(1), "a template is one map of settings of the filter")),
        };
        if let Some(entry) = node.entries().iter().find(|entry| FROM_THE_CATALOG.contains(&entry.key.as_str())) {
            let message = format!("`{}` comes from the catalog and may not stand in a template", entry.key);
            return Err(Finding::error(file.line(entry.line), message).fix("take it out"));
        }
        if let Some(line) = variable(&node) {
            let message = "variables such as ${NAME} are not replaced: a template is written as it stands";
            return Err(Finding::error(file.line(line), message).fix("write the value"));
        }
        Ok(Self { file, node })
    }

    /// A setting.
    pub(super) fn get(&self, path: &[&str]) -> Option<&Entry> {
        self.node.at(path)
    }

    /// Whether a setting is `true`.
    pub(super) fn is_on(&self, path: &[&str]) -> bool {
        self.get(path).is_some_and(|entry| entry.value.value == Value::Bool(true))
    }

    /// Whose word makes a consumer.
    ///
    /// # Errors
    /// A word that says nothing: with owners written out, the filter's own parser does not see it.
    pub(super) fn consumers(&self) -> Result<Consumers, Finding> {
        let Some(entry) = self.get(&["catalog", "consumers"]) else { return Ok(Consumers::Declared) };
        entry.value.text().and_then(Consumers::from_name).ok_or_else(|| {
            let message = "catalog.consumers: it must be declared, approved or none";
            Finding::error(self.file.line(entry.line), message)
        })
    }

    /// The annotations that the catalog's groups are looked up by.
    pub(super) fn group_annotations(&self) -> Vec<String> {
        let listed = self.get(&["catalog", "group_annotations"]).map(|entry| entry.value.texts()).unwrap_or_default();
        let issuers = self.node.get("issuers").map_or(&[][..], Node::items).iter();
        let used = issuers.filter_map(|issuer| issuer.at(&["groups", "annotation"])?.value.text());
        let mut all: Vec<String> = listed.into_iter().map(|(_, name)| name).chain(used).map(str::to_owned).collect();
        all.sort();
        all.dedup();
        all
    }
}

/// The line of a `${…}`.
fn variable(node: &Node) -> Option<usize> {
    match &node.value {
        Value::Text(text) => text.contains("${").then_some(node.line),
        Value::List(items) => items.iter().find_map(variable),
        Value::Map(entries) => entries.iter().find_map(|entry| variable(&entry.value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_not_stand_in_a_template_is_told_with_its_line() {
        for (text, expected) in [
            ("", "t.yaml:1: error: a template is one map"),
            ("[1]", "t.yaml:1: error: a template is one map"),
            ("a: 1\n---\nb: 1\n", "t.yaml:1: error: a template is one map"),
            ("issuers: []\nowner: x\n", "t.yaml:2: error: `owner` comes from the catalog"),
            ("issuers:\n- issuer: a\n  secret: ${SECRET}\n", "t.yaml:3: error: variables such as"),
            ("a: [", "t.yaml:1: error: is not YAML"),
        ] {
            let finding = Template::parse(File::new("t.yaml"), text).unwrap_err().to_string();
            assert!(finding.starts_with(expected), "{finding}");
        }
    }
}
