//! What commands read: files and standard input, JSON and YAML.

use anyhow::Context;
use serde_json::Value;
use std::io::Read;
use std::path::Path;

/// The text of a file, or of standard input where the path is `-`.
///
/// # Errors
/// When it cannot be read.
pub fn text(path: &Path) -> anyhow::Result<String> {
    if path.as_os_str() != "-" {
        return std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
    Ok(text)
}

/// The value that a text means: JSON where its name ends in `.json`, else YAML, which takes most of JSON too.
///
/// # Errors
/// What is wrong, with its line.
pub fn value(path: &Path, text: &str) -> anyhow::Result<Value> {
    let value = match path.extension() {
        Some(extension) if extension == "json" => serde_json::from_str(text).map_err(anyhow::Error::from),
        _ => serde_yaml_ng::from_str(text).map_err(anyhow::Error::from),
    };
    value.with_context(|| format!("{} is neither JSON nor YAML", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_and_yaml_are_told_apart_by_name_and_faults_have_a_line() {
        for (name, text) in [("a.json", "{\"a\": 1}"), ("a.yaml", "a: 1"), ("a.yml", "{\"a\": 1}"), ("-", "{a: 1}")] {
            assert_eq!(value(Path::new(name), text).unwrap(), json!({"a": 1}), "{name}");
        }
        for (name, text) in [("a.json", "{\n\"a\" 1}"), ("a.yaml", "a: 1\n- b")] {
            let error = format!("{:#}", value(Path::new(name), text).unwrap_err());
            assert!(error.starts_with(name) && error.contains("line 2"), "{error}");
        }
    }
}
