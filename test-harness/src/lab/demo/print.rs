//! The story on the terminal; colours only where there is one.

use super::story::{Chapter, Token};
use crate::lab::http::{Base, Incoming};
use anstream::println;
use anstyle::{AnsiColor, Style};
use serde_json::Value;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

/// Response headers worth showing.
const SHOWN: &[&str] = &["www-authenticate", "retry-after", "ratelimit-policy", "ratelimit", "content-type"];

/// Members of an audit line worth showing, in this order, by JSON Pointer.
const AUDITED: &[&str] = &["/who/user", "/who/agent", "/what/entity", "/decision", "/reason", "/rule", "/granted_by"];

pub(super) fn opening(gateway: &Base, idp: &Base) {
    println!("A gateway with the compiled filter at {gateway}, an identity provider and an upstream beside it.");
    let style = AnsiColor::Cyan.on_default();
    println!("\n  {style}$ token() {{ curl -s \"{idp}/token/$1\"; }}{style:#}");
}

pub(super) fn chapter(chapter: &Chapter) {
    println!("\n{BOLD}== {} =={BOLD:#}\n{}", chapter.title, chapter.text);
}

pub(super) fn request(gateway: &Base, method: &str, path: &str, token: &Token) {
    let method = if method == "GET" { String::new() } else { format!("-X {method} ") };
    let header = match token {
        Token::None => String::new(),
        Token::Of(user) => format!(" -H \"Authorization: Bearer $(token {user})\""),
        Token::Forged(user) => format!(" -H \"Authorization: Bearer $(token {user}?forge=stranger_key)\""),
    };
    let style = AnsiColor::Cyan.on_default();
    println!("\n  {style}$ curl -i {method}{gateway}{path}{header}{style:#}");
}

pub(super) fn answer(answer: &Incoming, audit: &[Value]) {
    let colour = if answer.status < 400 { AnsiColor::Green } else { AnsiColor::Yellow };
    let style = colour.on_default().bold();
    let reason = http::StatusCode::from_u16(answer.status).ok().and_then(|status| status.canonical_reason());
    println!("  {style}{} {}{style:#}", answer.status, reason.unwrap_or_default());
    for name in SHOWN.iter().filter(|name| **name != "content-type" || answer.status >= 400) {
        if let Some(value) = answer.header(name) {
            println!("  {DIM}{name}:{DIM:#} {value}");
        }
    }
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    for member in ["title", "reason", "detail"] {
        if let Some(text) = body.get(member).and_then(Value::as_str) {
            println!("  {DIM}{member}:{DIM:#} {text}");
        }
    }
    upstream(&body);
    for line in audit {
        let members = AUDITED.iter().filter_map(|pointer| {
            let name = pointer.rsplit('/').next()?;
            Some(format!("{name}={}", plain(line.pointer(pointer)?)?))
        });
        println!("  {DIM}audit:{DIM:#} {}", members.collect::<Vec<_>>().join(" "));
    }
}

/// What the upstream got, from its echo.
fn upstream(body: &Value) {
    let Some(headers) = body.get("headers").and_then(Value::as_object) else { return };
    println!("  {DIM}the upstream got:{DIM:#}");
    for (name, value) in headers.iter().filter(|(name, _)| name.starts_with("x-backstage-") || *name == "baggage") {
        println!("    {name}: {}", plain(value).unwrap_or_default());
    }
    let token = if headers.contains_key("authorization") { "the token" } else { "no token" };
    println!("    {DIM}({token}){DIM:#}");
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

pub(super) fn wait(seconds: u64) {
    println!("\n  {DIM}… {seconds} seconds pass, as Retry-After says{DIM:#}");
}

pub(super) fn surprise(expected: u16, found: u16) {
    let style = AnsiColor::Red.on_default().bold();
    println!("  {style}The story says {expected}, the gateway said {found}.{style:#}");
}

/// The decisions, by entity.
pub(super) fn metrics(text: &str) {
    println!("\n{BOLD}== Metrics by entity =={BOLD:#}\nAs Prometheus scrapes them.\n");
    let decisions = |line: &&str| !line.starts_with('#') && line.contains("entity=") && !line.contains("le=\"");
    for line in text.lines().filter(decisions) {
        println!("  {line}");
    }
}
