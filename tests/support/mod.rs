//! The repository's own files.
#![allow(unreachable_pub, reason = "helpers of tests are private to each of them")]

use std::fs;
use std::path::{Path, PathBuf};

pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The text of a file, by its path from the root.
pub fn text(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every file, by its path from the root, in order. What is built, installed or hidden is left out.
pub fn files() -> Vec<String> {
    let mut found = Vec::new();
    walk(Path::new(ROOT), &mut found);
    let path = |file: PathBuf| file.strip_prefix(ROOT).unwrap().to_str().unwrap().to_owned();
    let mut paths: Vec<_> = found.into_iter().map(path).collect();
    paths.sort();
    paths
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !name.starts_with('.') && !["target", "node_modules"].contains(&name) {
            walk(&path, found);
        } else if path.is_file() {
            found.push(path);
        }
    }
}
