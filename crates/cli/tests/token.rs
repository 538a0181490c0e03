//! `backstage-kong token`, run as a command: what it makes, `explain` believes.
#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn run(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_backstage-kong")).current_dir(folder).args(arguments).output().unwrap()
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_owned()).unwrap().trim().to_owned()
}

#[test]
fn keys_and_tokens_of_every_algorithm_are_believed_by_explain() {
    let folder = folder("token-believed");
    let config = json!({
        "entity": "api:default/payments", "owner": "group:default/payments",
        "issuers": [{"issuer": "https://dev.example", "audiences": ["payments"]}],
        "policy": {"rules": [{"allow": ["owner"]}]}
    });
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    for alg in ["RS256", "ES256", "EdDSA"] {
        let made = run(&folder, &["token", "keys", "--alg", alg, "--out", "keys"]);
        assert!(text(&made.stderr).contains("warning: this key is for development"));
        let key = text(&made.stdout);
        let mint = ["token", "mint", "--key", &key, "--issuer", "https://dev.example", "--aud", "payments"];
        let minted = run(&folder, &[&mint[..], &["--sub", "ada", "--groups", "payments"]].concat());
        assert!(text(&minted.stderr).contains("warning: this token is for development"));
        std::fs::write(folder.join("token"), minted.stdout).unwrap();
        let explain = ["explain", "--config", "config.json", "--jwks", "keys/jwks.json", "--offline", "--json"];
        let explained = run(&folder, &[&explain[..], &["--token-file", "token", "-r", "/payments/1"]].concat());
        let explained: Value = serde_json::from_slice(&explained.stdout).unwrap();
        assert_eq!(explained["verdict"]["reason"], "owner", "{alg} {explained}");
        assert_eq!(explained["token"]["claims"]["backstage-kong/development"], true);
        let kid = explained["token"]["verified_by"].as_str().unwrap();
        assert!(kid.starts_with("dev-") && key.ends_with(&format!("{kid}.pem")), "{kid} {key}");
    }
    let set: Value = serde_json::from_str(&std::fs::read_to_string(folder.join("keys/jwks.json")).unwrap()).unwrap();
    assert_eq!(set["keys"].as_array().unwrap().len(), 3);
    assert!(!set.to_string().contains("\"d\""), "nothing private is published");
}

#[cfg(unix)]
#[test]
fn a_private_key_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder("token-private");
    let key = text(&run(&folder, &["token", "keys", "--out", "."]).stdout);
    assert_eq!(std::fs::metadata(folder.join(key)).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn what_cannot_be_made_says_why() {
    let folder = folder("token-faults");
    std::fs::write(folder.join("public.pem"), "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----\n").unwrap();
    std::fs::write(folder.join("jwks.json"), "[]").unwrap();
    let key = text(&run(&folder, &["token", "keys", "--out", "good"]).stdout);
    let mint = |key: &'static str, more: &[&'static str]| {
        [&["token", "mint", "--key", key, "--issuer", "https://i", "--sub", "s"], more].concat()
    };
    let key: &'static str = Box::leak(key.into_boxed_str());
    let cases = [
        (mint("none.pem", &[]), "cannot read none.pem"),
        (mint("public.pem", &[]), "is no private key in PEM"),
        (mint(key, &["--expires", "1w"]), "found \"1w\"; allowed: a number and s, m, h or d"),
        (mint(key, &["--claim", "x"]), "a claim is NAME=VALUE"),
        (vec!["token", "keys", "--out", "."], "is no key set"),
        (vec!["token", "keys", "--alg", "HS256", "--out", "x"], "RS256, ES256, EdDSA"),
    ];
    for (arguments, expected) in cases {
        let output = run(&folder, &arguments);
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{said}");
        assert!(said.contains(expected), "{said}");
    }
}
