//! Entities of files.

use super::{Catalog, Item, derive};
use crate::finding::{File, Finding, Place};
use crate::yaml::Node;
use anyhow::{Context, bail};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Largest file of a catalog, in bytes.
pub(super) const MAX_BYTES: u64 = 32 << 20;

/// The names that catalog files have in a folder.
const IN_FOLDERS: [&str; 2] = ["catalog-info.yaml", "catalog-info.yml"];

/// Reads the files that patterns name, and those that their `Location` entities name.
///
/// # Errors
/// A pattern that is none or fits no file, or a file that cannot be read. What is wrong inside of files are findings.
pub(super) fn read(patterns: &[String]) -> anyhow::Result<Catalog> {
    let mut reader = Reader::default();
    for pattern in patterns {
        let files = expand(pattern)?;
        if files.is_empty() {
            bail!("no file fits {pattern:?}; quote patterns, and name folders that have {}", IN_FOLDERS.join(" or "));
        }
        reader.waiting.extend(files.into_iter().map(|file| (file, None)));
    }
    reader.waiting.reverse();
    while let Some((path, named_by)) = reader.waiting.pop() {
        reader.file(&path, named_by)?;
    }
    Ok(reader.catalog)
}

/// The files of a pattern, sorted; those with the usual names for a folder.
fn expand(pattern: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in glob::glob(pattern).with_context(|| format!("{pattern:?} is no pattern for files"))? {
        let path = entry.context("a folder cannot be read")?;
        if path.is_dir() {
            for name in IN_FOLDERS {
                let inside = Path::new(&glob::Pattern::escape(&path.to_string_lossy())).join("**").join(name);
                files.extend(expand(&inside.to_string_lossy())?);
            }
        } else {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[derive(Default)]
struct Reader {
    catalog: Catalog,
    /// Files that are still to be read, the next one last, and where they are named if that is in a file.
    waiting: Vec<(PathBuf, Option<Place>)>,
    read: BTreeSet<PathBuf>,
}

impl Reader {
    fn file(&mut self, path: &Path, named_by: Option<Place>) -> anyhow::Result<()> {
        let text = match text_of(path) {
            Ok(text) => text,
            // A file that another one names is that one's mistake; one that was asked for is the caller's.
            Err(error) => match named_by {
                Some(place) => {
                    self.catalog.findings.push(Finding::error(place, format!("{error:#}")));
                    return Ok(());
                }
                None => return Err(error),
            },
        };
        if !self.read.insert(path.canonicalize().unwrap_or_else(|_| path.to_owned())) {
            return Ok(());
        }
        let file = File::new(&path.to_string_lossy());
        match file.load(&text) {
            Ok(documents) => documents.into_iter().for_each(|document| self.document(document, &file, path)),
            Err(finding) => self.catalog.findings.push(finding),
        }
        Ok(())
    }

    fn document(&mut self, node: Node, file: &File, path: &Path) {
        if node.is_null() {
            return;
        }
        let item = match Item::new(node, Some(file.clone())) {
            Ok(item) => item,
            Err((line, problem)) => return self.catalog.findings.push(Finding::error(file.line(line), problem)),
        };
        if item.reference.kind() == "location" {
            return self.location(&item, path);
        }
        if let Some(first) = self.catalog.items.get(&item.reference) {
            let message = format!("{} is there twice, first at {}", item.reference, first.place());
            return self.catalog.findings.push(Finding::error(item.place(), message).fix("keep one of them"));
        }
        let (relationships, findings) = derive::relationships(&item);
        self.catalog.relationships.extend(relationships);
        self.catalog.findings.extend(findings);
        self.catalog.items.insert(item.reference.clone(), item);
    }

    /// Backstage's `LocationEntityProcessor`: targets are relative to the file that names them.
    fn location(&mut self, item: &Item, path: &Path) {
        let mut found = Vec::new();
        for field in ["target", "targets"] {
            let Some(entry) = item.node().at(&["spec", field]) else { continue };
            for (line, target) in entry.value.texts() {
                let place = item.line(line);
                if target.contains("://") {
                    let message = format!("{target} is not followed: only files are read");
                    let fix = "read it with --backstage, or give its files";
                    self.catalog.findings.push(Finding::warning(place, message).fix(fix));
                    continue;
                }
                let folder = path.parent().unwrap_or(Path::new("")).to_string_lossy();
                let pattern = Path::new(&glob::Pattern::escape(&folder)).join(target.trim_start_matches("./"));
                match expand(&pattern.to_string_lossy()) {
                    Ok(files) if files.is_empty() => {
                        self.catalog.findings.push(Finding::error(place, format!("{target} is no file")));
                    }
                    Ok(files) => found.extend(files.into_iter().map(|file| (file, Some(place.clone())))),
                    Err(error) => self.catalog.findings.push(Finding::error(place, format!("{error:#}"))),
                }
            }
        }
        found.reverse();
        self.waiting.extend(found);
    }
}

/// The text of a file of bounded size.
pub(super) fn text_of(path: &Path) -> anyhow::Result<String> {
    let shown = path.display();
    let size = std::fs::metadata(path).with_context(|| format!("{shown} cannot be read"))?.len();
    if size > MAX_BYTES {
        bail!("{shown} has {size} bytes; {MAX_BYTES} are the most");
    }
    std::fs::read_to_string(path).with_context(|| format!("{shown} cannot be read"))
}
