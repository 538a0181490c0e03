//! A canary in every field of every example: no message shows a secret, nor what stands before the host of a URL.

use super::super::Config;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const CANARY: &str = "hunter2hunter2hunter2hunter2hunter2";
const NUMBER: u64 = 7_493_026_158_493_026;
/// Fields that hold a secret, whatever type they are given. Those after `password` are of keys (RFC 7518 §6).
const SECRETS: [&str; 11] = ["secret", "secrets", "token", "password", "k", "d", "p", "q", "dp", "dq", "qi"];

/// Every example, those of providers, and one that has a key set within.
fn examples() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let file = |path: PathBuf| if path.is_dir() { path.join("config.json") } else { path };
    let files = entries.map(file).filter(|file| file.is_file() && file.extension().is_some_and(|end| end == "json"));
    let mut examples: Vec<Value> =
        files.map(|file| serde_json::from_slice(&fs::read(file).unwrap()).unwrap()).collect();
    assert!(examples.len() >= 15);
    let private = json!({"kty": "OKP", "crv": "Ed25519", "x": "AA", "k": "a", "d": "a", "p": "a", "q": "a", "dp": "a", "dq": "a", "qi": "a"});
    examples.push(json!({
        "entity": "api:default/x", "policy": {"rules": []},
        "issuers": [
            {"issuer": "https://a.example", "audiences": ["x"], "jwks": {"keys": [private]}},
            {"issuer": "https://b.example", "audiences": ["x"], "secret": CANARY.replace("hunter", "other_")},
            {"issuer": "https://c.example", "audiences": ["x"], "jwks_uri": "https://c.example/keys"}
        ]
    }));
    examples
}

/// Every place in a value, as JSON Pointers.
fn places(value: &Value, at: String, found: &mut Vec<String>) {
    let members = value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, member)| (format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), member));
    let items = value.as_array().into_iter().flatten().enumerate().map(|(n, item)| (format!("{at}/{n}"), item));
    members.chain(items).for_each(|(at, value)| places(value, at, found));
    found.push(at);
}

fn is_secret(at: &str) -> bool {
    let is_beside = ["/kid", "/rotate_by", "/not_after"].iter().any(|name| at.ends_with(name));
    !is_beside && at.split('/').any(|name| SECRETS.contains(&name))
}

/// Whether a place, or one within it, holds a secret.
fn holds_secret(config: &Value, at: &str) -> bool {
    let mut within = Vec::new();
    places(config.pointer(at).unwrap(), at.to_owned(), &mut within);
    within.iter().any(|at| is_secret(at))
}

/// The message that a configuration is refused with, once a place holds something else.
fn refused(config: &Value, at: &str, value: Value) -> Option<String> {
    let mut changed = config.clone();
    *changed.pointer_mut(at).unwrap() = value;
    Config::parse(changed.to_string().as_bytes()).err().map(|error| format!("{error} {error:?}"))
}

#[test]
fn no_message_shows_a_secret_whatever_stands_in_its_place() {
    let (mut secrets, mut quoted, mut count) = (BTreeSet::new(), 0, 0);
    for config in examples() {
        let mut all = Vec::new();
        places(&config, String::new(), &mut all);
        for at in all {
            let holds_secret = holds_secret(&config, &at);
            let canaries = [
                json!(CANARY),
                json!(&CANARY[..6]),
                json!(format!("{CANARY}\u{e9} \n")),
                json!(format!("\", expected `{CANARY}`, expected {CANARY}")),
                json!(NUMBER.to_string()),
                json!(NUMBER),
                json!([CANARY]),
                json!([NUMBER]),
                json!([[CANARY]]),
                json!([{CANARY: null}]),
                json!({CANARY: NUMBER}),
                json!({"secret": [CANARY]}),
                json!({"x": CANARY}),
            ];
            for canary in canaries {
                let Some(message) = refused(&config, &at, canary.clone()) else { continue };
                count += 1;
                let shows = message.contains("hunter") || message.contains(&NUMBER.to_string());
                quoted += usize::from(shows);
                // What has its name as a key elsewhere is no secret by its place: an unknown field is named.
                let is_named = !is_secret(&at) && message.contains("unknown field");
                assert!(!(holds_secret && shows) || is_named, "{at} as {canary}: {message}");
            }
            secrets.extend(is_secret(&at).then(|| at.rsplit('/').next().unwrap().to_owned()));
        }
    }
    let all: Vec<_> = SECRETS.iter().filter(|name| !secrets.contains(**name)).collect();
    assert!(all.is_empty(), "no example has {all:?}");
    assert!(count > 1_000 && quoted > 100, "{count} refused, {quoted} of them with what was found");
}

#[test]
fn no_message_shows_the_user_and_the_password_in_a_url() {
    let mut count = 0;
    for config in examples() {
        let mut all = Vec::new();
        places(&config, String::new(), &mut all);
        for at in all {
            let field = at.rsplit('/').find(|name| name.parse::<usize>().is_err()).unwrap_or_default();
            let text = config.pointer(&at).unwrap().as_str().unwrap_or_default();
            let is_url = field != "audiences" && (text.contains("://") || field.contains("upstream"));
            if !is_url || field.contains("groups") || field.starts_with("https:") {
                continue;
            }
            let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
            for (scheme, userinfo) in [
                ("https://", format!("user:{CANARY}")),
                ("http://", CANARY.to_owned()),
                ("HTTP://", format!("{CANARY}:x@{CANARY}")),
                ("redis://", format!("user:/{CANARY}/")),
                ("http:/", format!("user:{CANARY}")),
                ("", format!("user:{CANARY}")),
            ] {
                let url = json!(format!("{scheme}{userinfo}@{rest}"));
                for value in [url.clone(), json!([url]), json!({"url": url})] {
                    let Some(message) = refused(&config, &at, value.clone()) else { continue };
                    count += 1;
                    assert!(!message.contains(CANARY), "{at} as {value}: {message}");
                }
            }
        }
    }
    assert!(count > 300, "{count} refused");
}

#[test]
fn an_issuer_that_stands_twice_is_told_without_its_password() {
    let issuer =
        json!({"issuer": format!("https://user:{CANARY}@idp.example"), "audiences": ["x"], "secret": "s".repeat(32)});
    let config = json!({"entity": "api:default/x", "policy": {"rules": []}, "issuers": [issuer, issuer]});
    let message = Config::parse(config.to_string().as_bytes()).unwrap_err().to_string();
    assert!(message.contains("https://…@idp.example") && !message.contains(CANARY), "{message}");
}
