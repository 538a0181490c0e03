//! `backstage-kong explain`, run as a command over the examples.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The time of every request here.
const AT: &str = "2026-01-31T12:00:00Z";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backstage-kong"));
    command.current_dir(root()).env_remove("NO_COLOR").args(arguments).output().unwrap()
}

fn explain(arguments: &[&str]) -> Output {
    run(&[&["explain", "--at", AT, "--offline"], arguments].concat())
}

/// The exit code, and the explanation.
fn explained(arguments: &[&str]) -> (i32, Value) {
    let output = explain(&[arguments, &["--json"]].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), serde_json::from_str(&text).unwrap_or_else(|_| json!({"error": text})))
}

const CONFIG: [&str; 2] = ["--config", "examples/owner-and-consumers.json"];
const OWNER: [&str; 2] = ["--claims", r#"{"sub":"ada","groups":["payments"]}"#];
const CONSUMER: [&str; 2] = ["--claims", r#"{"sub":"ada","groups":["checkout"]}"#];

#[test]
fn the_exit_code_and_the_reason_are_the_decision() {
    let agent = ["--claims", r#"{"sub":"ada","groups":["payments"],"act":{"sub":"bot"}}"#];
    let cases: [(&[&str], &str, i32, Value, &str); 7] = [
        (&OWNER, "POST /payments/1", 0, json!(null), "owner"),
        (&CONSUMER, "GET /payments/1", 0, json!(null), "consumer"),
        (&CONSUMER, "POST /payments/1", 1, json!(403), "not_allowed"),
        (&agent, "DELETE /payments/1", 1, json!(403), "agent_read_only"),
        (&[], "GET /payments/1", 1, json!(401), "credentials_required"),
        (&["--token", "a.b"], "GET /payments/1", 1, json!(401), "token_malformed"),
        (&["-H", "authorization: Basic eA"], "GET /payments/1", 1, json!(401), "credentials_required"),
    ];
    for (who, request, code, status, reason) in cases {
        let (found, explanation) = explained(&[&CONFIG, who, &["-r", request]].concat());
        let verdict = &explanation["verdict"];
        assert_eq!(
            (found, &verdict["status"], &verdict["reason"]),
            (code, &status, &json!(reason)),
            "{request} {who:?}"
        );
    }
}

#[test]
fn an_owner_is_explained_in_a_table_that_stays_as_it_is() {
    let output = explain(&[&CONFIG[..], &OWNER, &["--request", "POST /payments/42"]].concat());
    let table = String::from_utf8(output.stdout).unwrap();
    let golden = root().join("crates/cli/tests/golden/explain-owner.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, &table).unwrap();
    }
    assert_eq!(table, std::fs::read_to_string(golden).unwrap());
}

#[test]
fn colour_is_for_terminals_unless_it_is_asked_for() {
    let request = ["--request", "GET /payments/1"];
    let plain = explain(&[&CONFIG[..], &OWNER, &request].concat());
    let coloured = explain(&[&CONFIG[..], &OWNER, &request, &["--color", "always"]].concat());
    assert!(!plain.stdout.contains(&0x1b) && coloured.stdout.contains(&0x1b));
}

#[test]
fn the_route_is_found_first_and_the_others_are_named() {
    let against = ["--against", "kong/kong.yml", "--claims", r#"{"sub":"ada","groups":["search"]}"#];
    let (code, found) = explained(&[&against[..], &["-r", "/quota-group/1"]].concat());
    assert_eq!(
        (code, &found["routing"]["route"], &found["routing"]["service"]),
        (0, &json!("quota-group"), &json!("payments"))
    );
    assert_eq!(found["routing"]["candidates"][1], json!({"route": "quota", "path": "/quota", "outcome": "later"}));
    assert_eq!(found["callee"]["entity"], "api:default/quota-group");
    let cases = [
        ("/nowhere", json!(404), "no_route", "gateway"),
        ("/..", json!(400), "bad_path", "gateway"),
        ("/broken/1", json!(503), "configuration", "filter"),
    ];
    for (path, status, reason, by) in cases {
        let (code, found) = explained(&[&against[..], &["-r", path]].concat());
        let verdict = &found["verdict"];
        assert_eq!((code, &verdict["status"]), (1, &status), "{path}");
        assert_eq!((&verdict["reason"], &verdict["by"]), (&json!(reason), &json!(by)), "{path}");
    }
}

#[test]
fn what_was_used_before_is_gone() {
    let windows = |used: &str| {
        let (code, found) = explained(&[&CONFIG[..], &OWNER, &["-r", "/payments/1", "--used", used]].concat());
        (code, found["quota"][0]["windows"][0]["remaining"].clone(), found["verdict"]["reason"].clone())
    };
    assert_eq!(windows("0"), (0, json!(599), json!("owner")));
    assert_eq!(windows("599"), (0, json!(0), json!("owner")));
    assert_eq!(windows("600"), (1, json!(0), json!("quota_exceeded")));
}

#[test]
fn a_catalog_from_files_says_who_owns_what() {
    let config = ["--config", "examples/catalog.json", "--service", "payments", "-r", "/payments/1"];
    let catalog = ["--catalog", "examples/catalog/all.yaml"];
    let (code, found) = explained(&[&config[..], &CONSUMER, &catalog].concat());
    assert_eq!((code, &found["callee"]["word"]), (0, &json!("catalog")), "{found}");
    assert_eq!(
        (&found["verdict"]["reason"], &found["verdict"]["granted_by"]),
        (&json!("consumer"), &json!("group:default/checkout"))
    );
    assert_eq!(found["callee"]["consumers_by"], "declared");
    let written = explained(&[&config[..4], &["-r", "POST /payments/1"], &CONSUMER[..], &catalog].concat());
    assert_eq!((written.0, &written.1["verdict"]["reason"]), (1, &json!("not_allowed")));
    assert_eq!(written.1["policy"]["rules"][0]["allow"][0]["stands_for"], "owner", "{}", written.1["policy"]);
    let (code, found) = explained(&[&config[..], &CONSUMER].concat());
    assert_eq!((code, &found["verdict"]["reason"]), (1, &json!("catalog_unavailable")));
}

#[test]
fn neither_token_nor_secret_is_shown() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("explain-secret");
    std::fs::create_dir_all(&folder).unwrap();
    let token = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJodHRwczovL2JhdGNoLmV4YW1wbGUuY29tIn0.c2lnbmF0dXJlLW9mLWl0";
    let file = folder.join("token");
    std::fs::write(&file, token).unwrap();
    let forwards = json!({
        "entity": "api:default/x", "credentials": {"cookie": "session", "forward_token": false},
        "issuers": [{"issuer": "https://batch.example.com", "audiences": ["x"], "secret": "a secret that nobody may read: 32+ bytes"}],
        "policy": {"rules": [{"allow": ["anyone"]}]}
    });
    let config = folder.join("config.json");
    std::fs::write(&config, forwards.to_string()).unwrap();
    let config = config.to_str().unwrap();
    for arguments in [vec!["--token-file", file.to_str().unwrap()], vec!["-H", "cookie: other=private-value"]] {
        for json in [&["--json"][..], &[]] {
            let output = explain(&[&["--config", config, "-r", "/x"], arguments.as_slice(), json].concat());
            let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            for hidden in ["c2lnbmF0dXJl", "nobody may read", "private-value"] {
                assert!(!said.contains(hidden), "{said}");
            }
        }
    }
}

#[test]
fn what_cannot_be_done_says_why_and_ends_with_2() {
    let invalid = "examples/invalid/owner-in-a-rule-but-not-named.json";
    let cases: [(&[&str], &str); 7] = [
        (&["-r", "/a"], "--config <FILE>"),
        (&["--config", "none.json", "-r", "/a"], "cannot read none.json"),
        (&["--config", invalid, "-r", "/a"], "configuration error at policy.rules[0].allow[0]"),
        (&[CONFIG[0], CONFIG[1], "-r", "payments"], "such as \"GET /payments/42\""),
        (&[CONFIG[0], CONFIG[1], "-r", "/a", "--claims", "[]"], "cannot read []"),
        (
            &[CONFIG[0], CONFIG[1], "-r", "/a", "--jwks", "examples/minimal.json"],
            "not a JSON object with an array `keys`",
        ),
        (&["--against", "examples/minimal.json", "-r", "/a"], "missing field `_format_version`"),
    ];
    for (arguments, expected) in cases {
        let output = explain(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{said}");
        assert!(said.contains(expected), "{said}");
    }
}
