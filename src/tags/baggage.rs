//! W3C Baggage: entity refs for traces, next to whatever others put there.

use super::text::escape;
use crate::config::Tags;
use crate::identity::Principal;
use crate::ownership::Callee;
use percent_encoding::percent_decode;

/// Longest header and most members that a platform must pass on (W3C Baggage §3.3.2).
const MAX_BYTES: usize = 8192;
const MAX_MEMBERS: usize = 64;
/// Room for what is usually written.
const USUAL_BYTES: usize = 256;

/// Keys that only this filter may set.
const ENTITY: &str = "backstage.entity_ref";
const OWNER: &str = "backstage.owner";
const USER: &str = "backstage.user";
const AGENT: &str = "backstage.agent";
const KEYS: [&str; 4] = [ENTITY, OWNER, USER, AGENT];

/// The `baggage` that the upstream gets: ours first, then the foreign members of the request's own that fit. `None` when
/// there is nothing to send. So many bytes of it are `kept` in lines of their own. Members that claim to be ours are dropped even where the filter adds none.
pub(super) fn baggage(
    tags: &Tags,
    callee: Option<&Callee>,
    principal: Option<&Principal>,
    existing: Option<&[u8]>,
    kept: usize,
) -> Option<String> {
    let mut list = List::default();
    if let Some(callee) = callee.filter(|_| tags.baggage) {
        list.push_own(callee, principal);
    }
    let existing = existing.and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default();
    for member in existing.split(',').map(str::trim).filter(|member| is_foreign(member)) {
        if list.members == MAX_MEMBERS || kept + list.text.len() + 1 + member.len() > MAX_BYTES {
            break;
        }
        list.begin();
        list.text.push_str(member);
    }
    (list.members > 0).then_some(list.text)
}

/// What stays in further lines of a request's `baggage`, where the host changes first lines only. Parsers of Go, Python and JavaScript
/// drop the whole header at more than 8,192 bytes or 180 members.
#[derive(Default)]
pub(super) struct Kept {
    pub(super) bytes: usize,
    members: usize,
}

impl Kept {
    /// Adds a line; false where the filter's own members may be lost by it.
    pub(super) fn add(&mut self, line: &[u8]) -> bool {
        self.bytes += line.len() + 1;
        self.members += line.split(|b| *b == b',').count();
        self.bytes <= MAX_BYTES / 2 && self.members <= MAX_MEMBERS
    }
}

/// A header that is being written.
#[derive(Default)]
struct List {
    text: String,
    members: usize,
}

impl List {
    fn begin(&mut self) {
        if self.members > 0 {
            self.text.push(',');
        }
        self.members += 1;
    }

    fn push_own(&mut self, callee: &Callee, principal: Option<&Principal>) {
        self.text.reserve(USUAL_BYTES);
        let user = principal.and_then(|principal| principal.user.as_ref());
        let agent = principal.and_then(|principal| principal.agent.as_deref());
        // Refs have no character that would have to be encoded.
        for (key, entity) in [(ENTITY, Some(&callee.entity)), (OWNER, callee.owner()), (USER, user)] {
            if let Some(entity) = entity {
                self.begin_own(key);
                self.text.push_str(entity.as_str());
            }
        }
        if let Some(agent) = agent {
            self.begin_own(AGENT);
            self.text.push_str(&escape(agent));
        }
    }

    fn begin_own(&mut self, key: &str) {
        self.begin();
        self.text.push_str(key);
        self.text.push('=');
    }
}

/// Whether a line has members that claim to be ours.
pub(super) fn has_own_members(line: &[u8]) -> bool {
    line.split(|b| *b == b',').any(|member| is_own_key(key(member)))
}

/// A well-formed `key=value` (§3.3.1) with printable ASCII whose key is not ours, however it is written. Some parsers give up the whole
/// header at a key that is no token.
fn is_foreign(member: &str) -> bool {
    let printable = member.bytes().all(|b| (b' '..=b'~').contains(&b));
    let is_pair = member.split_once('=').is_some_and(|(key, _)| is_token(key.trim()));
    printable && is_pair && !is_own_key(key(member.as_bytes()))
}

fn is_token(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(is_token_byte)
}

/// A `tchar` of RFC 9110 §5.6.2.
fn is_token_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

/// What stands before the value.
fn key(member: &[u8]) -> &[u8] {
    member.split(|b| *b == b'=').next().unwrap_or_default()
}

/// Whether a parser may take the key for one of ours. Keys are plain tokens (§3.3.1.2), and yet OpenTelemetry's parsers decode them, skip
/// `;` (Java), take `+` for a space (Python) or trim what Unicode calls space (Python, JavaScript, Go), and some upstreams ignore letter
/// case. So one of ours between bytes that no key can have counts as ours.
fn is_own_key(key: &[u8]) -> bool {
    let decoded: Vec<u8> = percent_decode(key).collect();
    let mut words = decoded.split(|b| *b == b'+' || !is_token_byte(*b));
    words.any(|word| KEYS.iter().any(|ours| word.eq_ignore_ascii_case(ours.as_bytes())))
}
