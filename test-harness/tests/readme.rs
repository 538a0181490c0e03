//! The README shows what the demonstration prints.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use regex_lite::Regex;
use std::path::Path;
use std::process::Command;

/// How long the part that the README shows may be.
const SHOWN_AT_MOST: usize = 15;

#[test]
#[ignore = "needs the release wasm; make test runs it"]
fn the_readme_shows_lines_that_the_demonstration_prints() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let run = Command::new(env!("CARGO_BIN_EXE_lab")).arg("demo").current_dir(&root).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let printed = String::from_utf8(run.stdout).unwrap();
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let (_, shown) = readme.split_once("```text\n").unwrap();
    let (shown, _) = shown.split_once("```").unwrap();

    assert!(shown.lines().count() <= SHOWN_AT_MOST, "{} lines", shown.lines().count());
    if let Err(line) = is_part(&steady(shown), &steady(&printed)) {
        panic!("the demonstration does not print this line there: {line}\n{printed}");
    }
}

/// The text without what differs from run to run: ports and times.
fn steady(text: &str) -> String {
    let ports = Regex::new(r"127\.0\.0\.1:\d+").unwrap();
    let times = Regex::new(r";t=\d+").unwrap();
    times.replace_all(&ports.replace_all(text, "127.0.0.1:0"), ";t=0").into_owned()
}

/// Whether the lines stand in the whole in this order and one after the other, but for `…`, which stands for lines left out.
/// Otherwise the first that does not.
fn is_part<'a>(shown: &'a str, whole: &str) -> Result<(), &'a str> {
    let mut rest = whole.lines();
    let mut may_skip = true;
    for line in shown.lines() {
        if line.trim() == "…" {
            may_skip = true;
            continue;
        }
        let found = if may_skip { rest.any(|other| other == line) } else { rest.next() == Some(line) };
        if !found {
            return Err(line);
        }
        may_skip = false;
    }
    Ok(())
}

#[test]
fn lines_are_left_out_only_where_the_readme_says_so() {
    let whole = "a\nb\nc\nd\n";
    assert_eq!(is_part("b\nc\n", whole), Ok(()));
    assert_eq!(is_part("a\n…\nd\n", whole), Ok(()));
    assert_eq!(is_part("a\nc\n", whole), Err("c"));
    assert_eq!(is_part("…\nd\n…\na\n", whole), Err("a"));
}
