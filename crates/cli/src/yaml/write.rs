//! Values → YAML that people review.
//!
//! `serde_yaml_ng` writes `on`, `12:30` and `1_000` without quotes, as YAML 1.2 may; Kong reads YAML 1.1, to which they are no texts.
//! Here everything that is not plainly a text is quoted, short lists stand on one line, and long ones have a line an item, so
//! that a difference is a line.

use serde_yaml_ng::Value;
use std::fmt::Write;

/// Longest line of a list that stands on one line.
const WIDTH: usize = 100;

/// Writes a value in block style, each line after `indent` spaces. A list's items stand as deep as the key that it is under.
pub fn write(value: &Value, indent: usize) -> String {
    let mut text = String::new();
    match value {
        Value::Mapping(map) if !map.is_empty() => entries(map, indent, &mut text),
        Value::Sequence(items) if !items.is_empty() => self::items(items, indent, &mut text),
        value => line(&format!("{}{}", " ".repeat(indent), inline(value)), &mut text),
    }
    text
}

fn line(line: &str, text: &mut String) {
    text.push_str(line);
    text.push('\n');
}

fn entries(map: &serde_yaml_ng::Mapping, indent: usize, text: &mut String) {
    for (key, value) in map {
        let key = format!("{}{}:", " ".repeat(indent), inline(key));
        match value {
            Value::Mapping(map) if !map.is_empty() => {
                line(&key, text);
                entries(map, indent + 2, text);
            }
            Value::Sequence(items) if !fits(items, key.len()) => {
                line(&key, text);
                self::items(items, indent, text);
            }
            value => line(&format!("{key} {}", inline(value)), text),
        }
    }
}

fn items(items: &[Value], indent: usize, text: &mut String) {
    for item in items {
        let start = text.len();
        text.push_str(&write(item, indent + 2));
        // The dash takes the place of the two spaces before the item's first line.
        text.replace_range(start + indent..start + indent + 2, "- ");
    }
}

fn fits(items: &[Value], before: usize) -> bool {
    let scalars = items.iter().all(|item| !matches!(item, Value::Sequence(_) | Value::Mapping(_) | Value::Tagged(_)));
    scalars && before + items.iter().map(|item| inline(item).len() + 2).sum::<usize>() < WIDTH
}

fn inline(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => scalar(text),
        Value::Sequence(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Mapping(map) => {
            let entry = |(key, value)| format!("{}: {}", inline(key), inline(value));
            format!("{{{}}}", map.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
        Value::Tagged(tagged) => inline(&tagged.value),
    }
}

fn scalar(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { quoted(text) }
}

/// Whether a text needs no quotes, in any version of YAML.
fn is_plain(text: &str) -> bool {
    const OTHERS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        // `600/1m` is no number; `10:30`, `2027-01-31` and `1_000` are something else than texts to some.
        || text.starts_with(|c: char| c.is_ascii_digit()) && text.contains('/');
    starts_well
        && !text.ends_with(':')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-./:@+=%".contains(&b))
        && !OTHERS.contains(&text.to_ascii_lowercase().as_str())
}

fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            // What is no printable character to YAML, or a line break to some of its versions.
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}') => {
                // Writing into a text does not fail.
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
