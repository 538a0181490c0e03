//! W3C Baggage: entity refs for traces, next to whatever others put there.

use crate::config::Tags;
use crate::entity::EntityRef;
use crate::identity::Principal;
use crate::ownership::Callee;
use std::fmt::Write;

/// Longest header and most members that a platform must pass on (W3C Baggage §3.3.2).
const MAX_BYTES: usize = 8192;
const MAX_MEMBERS: usize = 64;

/// Keys that only this filter may set.
const ENTITY: &str = "backstage.entity_ref";
const OWNER: &str = "backstage.owner";
const USER: &str = "backstage.user";
const AGENT: &str = "backstage.agent";
const KEYS: [&str; 4] = [ENTITY, OWNER, USER, AGENT];

/// The `baggage` that the upstream gets: ours first, then the foreign members of the request's own that fit. `None` when
/// there is nothing to send. Members that claim to be ours are dropped even where the filter adds none.
pub fn baggage(
    tags: &Tags,
    callee: Option<&Callee>,
    principal: Option<&Principal>,
    existing: Option<&[u8]>,
) -> Option<String> {
    let mut members = callee.filter(|_| tags.baggage).map(|callee| own(callee, principal)).unwrap_or_default();
    let existing = existing.and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default();
    let foreign = existing.split(',').map(str::trim).filter(|member| is_foreign(member));
    let mut length: usize = members.iter().map(|member| member.len() + 1).sum();
    for member in foreign {
        length += member.len() + 1;
        if members.len() == MAX_MEMBERS || length > MAX_BYTES {
            break;
        }
        members.push(member.to_owned());
    }
    (!members.is_empty()).then(|| members.join(","))
}

fn own(callee: &Callee, principal: Option<&Principal>) -> Vec<String> {
    let user = principal.and_then(|principal| principal.user.as_ref());
    let agent = principal.and_then(|principal| principal.agent.as_deref());
    let values = [
        (ENTITY, Some(callee.entity.as_str())),
        (OWNER, callee.owner().map(EntityRef::as_str)),
        (USER, user.map(|user| user.as_str())),
        (AGENT, agent),
    ];
    values.into_iter().filter_map(|(key, value)| value.map(|value| format!("{key}={}", encode(value)))).collect()
}

/// A well-formed `key=value` with printable ASCII whose key is not ours, however it is spelled.
fn is_foreign(member: &str) -> bool {
    let printable = member.bytes().all(|b| (b' '..=b'~').contains(&b));
    match member.split_once('=') {
        Some((key, _)) if printable => {
            let key = key.trim();
            !key.is_empty() && !KEYS.iter().any(|ours| ours.eq_ignore_ascii_case(key))
        }
        _ => false,
    }
}

/// Percent-encodes what a value may not have (§3.3.1.3), and `%` itself.
fn encode(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes().take(512) {
        if byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\' | b'%') {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}
