//! Every link between the repository's pages leads somewhere, every page can be found from the first one, and every page that
//! code or a configuration names is there.
//!
//! Markdown is read as far as links and headings go: fences and code spans are skipped, anchors are made as GitHub makes them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests are tests too")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use support::{ROOT, files, text};

mod support;

/// A page, as far as links go.
struct Page {
    /// Where it leads, as written, with the line.
    links: Vec<(usize, String)>,
    anchors: BTreeSet<String>,
}

fn pages() -> BTreeMap<String, Page> {
    let names = files().into_iter().filter(|file| file.ends_with(".md"));
    names.map(|name| (name.clone(), Page::read(&text(&name)))).collect()
}

impl Page {
    fn read(text: &str) -> Self {
        let (mut links, mut anchors, mut in_fence) = (Vec::new(), BTreeSet::new(), false);
        for (index, line) in text.lines().enumerate() {
            if line.trim_start().starts_with("```") {
                in_fence = !in_fence;
            } else if !in_fence {
                links.extend(links_of(line).into_iter().map(|link| (index + 1, link)));
                let title = line.trim_start_matches('#');
                if title.len() < line.len() && title.starts_with(' ') {
                    let (anchor, mut number) = (anchor(title), 0);
                    let mut unique = anchor.clone();
                    while !anchors.insert(unique) {
                        number += 1;
                        unique = format!("{anchor}-{number}");
                    }
                }
            }
        }
        assert!(!in_fence, "a fence is not closed");
        Self { links, anchors }
    }
}

/// The targets of `[text](target)` outside code spans.
fn links_of(line: &str) -> Vec<String> {
    // Every other piece between backticks is code.
    let prose: String = line.split('`').step_by(2).collect();
    let targets = prose.split("](").skip(1);
    targets.map(|rest| rest.split_once(')').unwrap_or_else(|| panic!("no end: {line}")).0.to_owned()).collect()
}

/// The anchor that GitHub gives a heading.
fn anchor(title: &str) -> String {
    let kept = title.trim().chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect::<String>().to_lowercase()
}

/// Where a link leads: a path from the root, and an anchor. None for one that leaves the repository.
fn target(page: &str, link: &str) -> Option<(String, Option<String>)> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor.to_owned())));
    if path.is_empty() {
        return Some((page.to_owned(), anchor));
    }
    let mut whole = PathBuf::new();
    for part in Path::new(page).parent().unwrap().join(path).components() {
        match part {
            Component::ParentDir => assert!(whole.pop(), "{page}: {link} leaves the repository"),
            Component::Normal(name) => whole.push(name),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => panic!("{page}: {link} is not relative"),
        }
    }
    Some((whole.to_str().unwrap().to_owned(), anchor))
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_are_there() {
    let pages = pages();
    let (mut broken, mut seen) = (Vec::new(), 0);
    for (name, page) in &pages {
        for (line, link) in &page.links {
            let Some((path, anchor)) = target(name, link) else { continue };
            seen += 1;
            let has_anchor = |anchor| pages.get(&path).is_some_and(|page| page.anchors.contains(&anchor));
            if !Path::new(ROOT).join(&path).exists() || !anchor.is_none_or(has_anchor) {
                broken.push(format!("{name}:{line}: {link}"));
            }
        }
    }
    assert_eq!(broken, [""; 0]);
    assert!(seen > 100, "only {seen} links were found");
}

#[test]
fn every_page_can_be_found_from_the_readme() {
    let pages = pages();
    let mut found = BTreeSet::new();
    let mut next = vec!["README.md".to_owned()];
    while let Some(name) = next.pop() {
        let Some(page) = pages.get(&name).filter(|_| found.insert(name.clone())) else { continue };
        let targets = page.links.iter().filter_map(|(_, link)| target(&name, link));
        // A link to a folder shows the folder's own page.
        next.extend(targets.flat_map(|(path, _)| [format!("{path}/README.md"), path]));
    }
    let missed: Vec<_> = pages.keys().filter(|name| !found.contains(*name)).collect();
    assert_eq!(missed, [""; 0]);
}

#[test]
fn every_page_that_is_named_outside_of_pages_is_there() {
    let kinds = [".rs", ".toml", ".yml", ".yaml", ".json", ".env", ".lua", "Makefile", "Dockerfile"];
    // This file names pages that only its own tests know.
    let is_other = |file: &String| file.ends_with("-lock.json") || file == "tests/pages.rs";
    let is_read = |file: &String| kinds.iter().any(|kind| file.ends_with(kind)) && !is_other(file);
    let (mut missing, mut seen) = (Vec::new(), 0);
    for file in files().into_iter().filter(is_read) {
        for (line, text) in text(&file).lines().enumerate() {
            for name in names(text) {
                seen += 1;
                let beside = Path::new(&file).parent().unwrap().join(name);
                if ![Path::new(name), &beside].into_iter().any(|path| Path::new(ROOT).join(path).exists()) {
                    missing.push(format!("{file}:{}: {name}", line + 1));
                }
            }
        }
    }
    assert_eq!(missing, [""; 0]);
    assert!(seen > 10, "only {seen} names were found");
}

/// The names of pages in a line.
fn names(line: &str) -> impl Iterator<Item = &str> {
    let words = line.split(|c: char| !(c.is_ascii_alphanumeric() || "./_-".contains(c)));
    words.map(|word| word.trim_end_matches('.')).filter(|word| word.len() > 3 && word.ends_with(".md"))
}

#[test]
fn markdown_is_read_as_far_as_links_and_headings_go() {
    let page = Page::read(
        "# `x`: What's *this*?\n[a](b/c.md#d) and `[no](code)` ![e](f.svg)\n```sh\n# no heading [g](h)\n```\n## Twice\n## Twice\n",
    );
    let links: Vec<_> = page.links.iter().map(|(line, link)| (*line, link.as_str())).collect();
    assert_eq!(links, [(2, "b/c.md#d"), (2, "f.svg")]);
    assert_eq!(page.anchors.iter().collect::<Vec<_>>(), ["twice", "twice-1", "x-whats-this"]);
    assert_eq!(target("a/b.md", "../c.md#d"), Some(("c.md".to_owned(), Some("d".to_owned()))));
    assert_eq!(target("a/b.md", "https://example.com"), None);
}
