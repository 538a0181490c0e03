//! The line of what a path names.

use super::{Node, Value};

/// The line of the value at a path such as `issuers[0].keys.a.b`, or of the deepest part of it that is there. A key may hold
/// dots itself: the longest one that fits is taken.
pub fn line_of(node: &Node, path: &str) -> usize {
    let (mut node, mut line, mut rest) = (node, node.line, path);
    loop {
        rest = rest.trim_start_matches('.');
        let step = match &node.value {
            Value::List(items) => index(rest).and_then(|(index, rest)| Some((items.get(index)?, rest, None))),
            Value::Map(entries) => {
                let fits = entries.iter().filter_map(|entry| Some((entry, after_key(rest, &entry.key)?)));
                fits.max_by_key(|(entry, _)| entry.key.len())
                    .map(|(entry, rest)| (&entry.value, rest, Some(entry.line)))
            }
            _ => None,
        };
        let Some((next, after, key_line)) = step else { return line };
        (node, rest, line) = (next, after, key_line.unwrap_or(next.line));
    }
}

fn index(path: &str) -> Option<(usize, &str)> {
    let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
    Some((index.parse().ok()?, rest))
}

fn after_key<'a>(path: &'a str, key: &str) -> Option<&'a str> {
    path.strip_prefix(key).filter(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}
