//! What is generated, put into a file that has other things too.
//!
//! Items that carry the tag [`MANAGED`] are ours: they are replaced, added and taken out. Every other byte of the file stays as it
//! is, comments, anchors and order included, and so does an item of ours that already says the same.

use super::holders::is_ours;
use super::output::{Item, Section};
use crate::finding::{File, Finding, Place};
use crate::kong::MANAGED;
use crate::yaml::{Entry, Node, Value, write};
use std::collections::BTreeSet;

/// A declarative configuration of Kong that is to be merged into.
#[derive(Debug)]
pub(super) struct Existing<'a> {
    file: &'a File,
    text: &'a str,
    lines: Vec<&'a str>,
    root: Node,
}

/// Lines that are replaced by a text.
struct Edit {
    /// The first line, from 0; none are replaced where `end` is the same.
    start: usize,
    end: usize,
    text: String,
}

impl<'a> Existing<'a> {
    /// Reads a file.
    ///
    /// # Errors
    /// What keeps it from being a declarative configuration.
    pub(super) fn read(file: &'a File, text: &'a str) -> Result<Self, Finding> {
        let mut documents = file.load(text)?;
        match (documents.pop(), documents.is_empty()) {
            (Some(root), true) if !root.is_inline && root.get("_format_version").is_some() => {
                Ok(Self { file, text, lines: text.lines().collect(), root })
            }
            _ => Err(Finding::error(file.line(1), "is no declarative configuration of Kong in block style")
                .fix("begin it with: _format_version: \"3.0\"")),
        }
    }

    /// The items of a list that are not ours, by the field that tells them apart.
    pub(super) fn foreign(&self, section: &str) -> impl Iterator<Item = &Node> {
        self.root.get(section).map_or(&[][..], Node::items).iter().filter(|item| !is_ours(item))
    }

    /// Where something of the file stands.
    pub(super) fn place(&self, node: &Node) -> Place {
        self.file.line(node.line)
    }

    /// The routes that are not ours, and where they stand.
    pub(super) fn foreign_routes(&self) -> impl Iterator<Item = (&Node, Place)> {
        let inside = self.foreign("services").flat_map(|service| service.get("routes").map_or(&[][..], Node::items));
        self.foreign("routes").chain(inside).map(|route| (route, self.place(route)))
    }

    /// The file with these lists in it.
    ///
    /// # Errors
    /// Something of the file's own that is in the way.
    pub(super) fn merge(&self, sections: &[Section]) -> Result<String, Finding> {
        let mut edits = Vec::new();
        let mut new = String::new();
        for section in sections {
            match self.root.entry(section.name) {
                Some(entry) => self.section(entry, section, &mut edits)?,
                None if section.items.is_empty() => {}
                None => new.push_str(&format!("\n{}:\n{}", section.name, items(section.items.iter(), 0))),
            }
        }
        let merged = self.edited(edits, &new);
        self.check(&merged, sections)?;
        Ok(merged)
    }

    fn section(&self, entry: &Entry, section: &Section, edits: &mut Vec<Edit>) -> Result<(), Finding> {
        let list = &entry.value;
        let all = list.items();
        for item in all.iter().filter(|item| !is_ours(item)) {
            if let Some(wanted) = section.items.iter().find(|wanted| text(item, section.key) == Some(&wanted.key)) {
                return Err(self.taken(section, wanted, item.line));
            }
        }
        if all.is_empty() {
            if !section.items.is_empty() {
                let text = format!("{}\n{}", self.key_line(entry, ""), items(section.items.iter(), 0));
                edits.push(Edit { start: entry.line - 1, end: list.last_line.max(entry.line), text });
            }
            return Ok(());
        }
        let changes = all.iter().any(is_ours) || !section.items.is_empty();
        if !changes {
            return Ok(());
        }
        if list.is_inline {
            let message = format!("`{}` is written between brackets, or is an alias", section.name);
            return Err(Finding::error(self.file.line(list.line), message).fix("give each item lines of its own"));
        }
        self.items(entry, section, edits);
        Ok(())
    }

    fn items(&self, entry: &Entry, section: &Section, edits: &mut Vec<Edit>) {
        let all = entry.value.items();
        let starts: Vec<usize> = all.iter().map(|item| self.dash(item.line)).collect();
        let indent = starts.first().map_or(0, |start| self.line(*start).find('-').unwrap_or_default());
        let mut kept = BTreeSet::new();
        let mut left = all.len();
        for (item, start) in all.iter().zip(&starts).filter(|(item, _)| is_ours(item)) {
            let key = text(item, section.key).unwrap_or_default();
            let wanted =
                section.items.iter().find(|wanted| wanted.key == key).filter(|wanted| kept.insert(wanted.key.as_str()));
            match wanted {
                Some(wanted) if same(item, wanted) => {}
                Some(wanted) => edits.push(Edit { start: *start, end: item.last_line, text: items([wanted], indent) }),
                None => {
                    left -= 1;
                    edits.push(Edit { start: *start, end: item.last_line, text: String::new() });
                }
            }
        }
        for wanted in section.items.iter().filter(|wanted| !kept.contains(wanted.key.as_str())) {
            // After what is ours and comes before it, or else before the first that is ours, or else last.
            let ours = || all.iter().enumerate().filter(|(_, item)| is_ours(item));
            let before = ours()
                .filter(|(_, item)| text(item, section.key) < Some(wanted.key.as_str()))
                .map(|(at, _)| at + 1)
                .next_back();
            let at = before.or_else(|| ours().map(|(at, _)| at).next()).unwrap_or(all.len());
            let line = at.checked_sub(1).and_then(|at| all.get(at)).map_or(entry.line, |item| item.last_line);
            left += 1;
            edits.push(Edit { start: line, end: line, text: items([wanted], indent) });
        }
        if left == 0 {
            let text = format!("{}\n", self.key_line(entry, " []"));
            edits.push(Edit { start: entry.line - 1, end: entry.line, text });
        }
    }

    /// A list's own line with another value, and its comment.
    fn key_line(&self, entry: &Entry, value: &str) -> String {
        let line = self.line(entry.line - 1).trim_end();
        let (key, rest) = line.split_once(':').unwrap_or((line, ""));
        let comment = rest.find(" #").and_then(|at| rest.get(at..)).unwrap_or_default();
        format!("{key}:{value}{comment}")
    }

    /// The line, from 0, with the dash of an item that begins on a line, from 1.
    fn dash(&self, line: usize) -> usize {
        let has_dash = |line: &usize| {
            let text = self.line(*line).trim();
            text == "-" || text.starts_with("- ")
        };
        (0..line).rev().find(has_dash).unwrap_or_else(|| line.saturating_sub(1))
    }

    fn line(&self, line: usize) -> &str {
        self.lines.get(line).copied().unwrap_or_default()
    }

    fn edited(&self, mut edits: Vec<Edit>, new: &str) -> String {
        let ending = if self.text.contains("\r\n") { "\r\n" } else { "\n" };
        // In the order of the file; what is put in at a line goes after what ends there.
        edits.sort_by_key(|edit| (edit.start, edit.end));
        let mut merged = String::with_capacity(self.text.len());
        let mut lines = self.text.split_inclusive('\n');
        let mut at = 0;
        for edit in edits {
            lines.by_ref().take(edit.start.saturating_sub(at)).for_each(|line| merged.push_str(line));
            end_line(&mut merged, ending);
            merged.push_str(&edit.text.replace('\n', ending));
            lines.by_ref().take(edit.end.saturating_sub(edit.start.max(at))).for_each(drop);
            at = at.max(edit.end);
        }
        lines.for_each(|line| merged.push_str(line));
        if !new.is_empty() {
            end_line(&mut merged, ending);
            merged.push_str(&new.replace('\n', ending));
        }
        merged
    }

    /// Holds what came out to what was to come out. An anchor of ours that something else refers to is a way to fail.
    fn check(&self, merged: &str, sections: &[Section]) -> Result<(), Finding> {
        let failed = |line| {
            Finding::error(
                self.file.line(line),
                "cannot be merged into: other parts refer to what is replaced, or it is written in an unusual way",
            )
            .fix("move anchors out of items that are managed")
        };
        let mut documents = crate::yaml::load(merged).map_err(|error| failed(error.line))?;
        let (Some(root), true) = (documents.pop(), documents.is_empty()) else { return Err(failed(1)) };
        let is_section = |entry: &&Entry| sections.iter().any(|section| section.name == entry.key);
        let others = |root: &Node| {
            root.entries()
                .iter()
                .filter(|entry| !is_section(entry))
                .map(|entry| (entry.key.clone(), entry.value.to_json()))
                .collect::<Vec<_>>()
        };
        if others(&self.root) != others(&root) {
            return Err(failed(1));
        }
        for section in sections {
            let all = |root: &Node, ours: bool| {
                let items = root.get(section.name).map_or(&[][..], Node::items).iter();
                items.filter(|item| is_ours(item) == ours).map(Node::to_json).collect::<Vec<_>>()
            };
            let line = self.root.entry(section.name).map_or(1, |entry| entry.line);
            if all(&self.root, false) != all(&root, false) {
                return Err(failed(line));
            }
            let mut found = all(&root, true);
            found.sort_by_key(|item| item.get(section.key).and_then(serde_json::Value::as_str).map(str::to_owned));
            let wanted: Vec<_> = section.items.iter().map(json).collect();
            if found != wanted {
                return Err(failed(line));
            }
        }
        Ok(())
    }

    fn taken(&self, section: &Section, wanted: &Item, line: usize) -> Finding {
        let what = section.name.trim_end_matches('s').replace('_', " ");
        let message = format!("there is a {what} {:?} already that is not managed by backstage-kong", wanted.key);
        Finding::error(self.file.line(line), message).fix(format!("take it out, or give it the tag {MANAGED}"))
    }
}

fn text<'a>(item: &'a Node, key: &str) -> Option<&'a str> {
    item.get(key)?.text()
}

fn same(item: &Node, wanted: &Item) -> bool {
    item.to_json() == json(wanted)
}

fn json(item: &Item) -> serde_json::Value {
    serde_json::to_value(&item.value).unwrap_or_default()
}

fn items<'a>(items: impl IntoIterator<Item = &'a Item>, indent: usize) -> String {
    let all = items.into_iter().map(|item| item.value.clone()).collect();
    write(&serde_yaml_ng::Value::Sequence(all), indent)
}

fn end_line(text: &mut String, ending: &str) {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push_str(ending);
    }
}

/// A file of these lists and nothing else.
pub(super) fn whole(sections: &[Section]) -> String {
    let mut text = format!(
        "# Made of Backstage's catalog by `backstage-kong generate`. What carries the tag {MANAGED} is written anew\n\
         # each time: change the catalog or the template, not this.\n_format_version: \"3.0\"\n"
    );
    for section in sections.iter().filter(|section| !section.items.is_empty()) {
        text.push_str(&format!("\n{}:\n{}", section.name, items(section.items.iter(), 0)));
    }
    text
}

/// Whether nothing stands in a file.
pub(super) fn is_blank(root: &[Node]) -> bool {
    root.iter().all(|document| matches!(document.value, Value::Null))
}

#[cfg(test)]
mod tests;
