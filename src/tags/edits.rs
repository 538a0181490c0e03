//! What becomes of a request's header lines on their way to the upstream.

use super::lines::ClientLines;
use super::{Value, baggage, upstream_headers};
use crate::config::{Config, Credentials};
use crate::host::{Editing, RequestHeaders};
use crate::identity::{COOKIE_ENDS, Principal, is_addressed};
use crate::ownership::Callee;
use std::borrow::Cow;

/// What the upstream gets under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The header's name.
    pub name: Cow<'static, str>,
    /// Its value; nothing for a header that must not reach the upstream. A host that cannot remove a line empties it.
    pub value: Option<Value>,
}

impl Edit {
    fn set(name: &'static str, value: Value) -> Self {
        Self { name: Cow::Borrowed(name), value: Some(value) }
    }

    fn drop(name: impl Into<Cow<'static, str>>) -> Self {
        Self { name: name.into(), value: None }
    }
}

/// The changes for a request that passes; without a callee the upstream learns nothing of it.
pub fn edits(
    config: &Config,
    callee: Option<&Callee>,
    principal: Option<&Principal>,
    client: &ClientLines,
    headers: &dyn RequestHeaders,
) -> Vec<Edit> {
    let tags = callee.map(|callee| upstream_headers(&config.tags, callee, principal)).unwrap_or_default();
    let mut edits = Vec::with_capacity(tags.len() + 2);
    for line in client.iter() {
        let value = tags.iter().find(|(name, _)| *name == line.reads_as).map(|(_, value)| value);
        let is_overwritten = value.is_some() && line.name.eq_ignore_ascii_case(line.reads_as);
        if is_overwritten {
            continue;
        }
        // Another spelling of the name. Where it cannot be removed, upstreams that read both find the same value twice.
        let value = value.filter(|_| headers.editing() == Editing::FirstLine).cloned();
        edits.push(Edit { name: Cow::Owned(line.name.clone()), value });
    }
    edits.extend(tags.into_iter().map(|(name, value)| Edit::set(name, value)));
    match baggage::baggage(
        &config.tags,
        callee,
        principal,
        editable("baggage", headers).as_deref(),
        client.kept_baggage(),
    ) {
        Some(baggage) => edits.push(Edit::set("baggage", baggage.into())),
        None => edits.push(Edit::drop("baggage")),
    }
    if !config.credentials.forward_token {
        remove_credential(&config.credentials, headers, &mut edits);
    }
    edits
}

/// What a header's new value takes the place of: all its lines, or the first one where the others stay.
fn editable<'a>(name: &str, headers: &'a dyn RequestHeaders) -> Option<Cow<'a, [u8]>> {
    match headers.editing() {
        Editing::EveryLine => headers.get(name),
        Editing::FirstLine => headers.first(name).map(Cow::Borrowed),
    }
}

/// Takes the token out of the request: the configured header, unless another scheme's credential is in it, and, where one is
/// configured, the one cookie.
fn remove_credential(credentials: &Credentials, headers: &dyn RequestHeaders, edits: &mut Vec<Edit>) {
    if is_addressed(credentials, headers) {
        edits.push(Edit::drop(credentials.header.clone()));
    }
    let Some(name) = &credentials.cookie else { return };
    let Some(cookies) = editable("cookie", headers) else { return };
    let cookies = String::from_utf8_lossy(&cookies);
    // By the same ends as it is looked for.
    let is_other =
        |pair: &&str| pair.trim_end_matches(COOKIE_ENDS).split('=').next().map(str::trim) != Some(name.as_str());
    let others: String = cookies.split_inclusive(COOKIE_ENDS).filter(is_other).collect();
    let others = others.trim_matches(|c: char| COOKIE_ENDS.contains(&c) || c.is_ascii_whitespace());
    if others.is_empty() {
        edits.push(Edit::drop("cookie"));
    } else {
        edits.push(Edit::set("cookie", others.to_owned().into()));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Sent, credentials};
    use super::*;

    #[test]
    fn only_the_token_is_taken_out_of_the_cookies() {
        type Left = Option<Option<&'static str>>;
        let cases: [(&'static [&'static str], Left, Left); 9] = [
            (&["a=1; session=t; b=2"], Some(Some("a=1; b=2")), Some(Some("a=1; b=2"))),
            (&["session=t"], Some(None), Some(None)),
            // Where a token is looked for, it is taken out: some clients put commas between cookies.
            (&["a=1, session=t; b=2,c"], Some(Some("a=1, b=2,c")), Some(Some("a=1, b=2,c"))),
            (&["a=1,session=t"], Some(Some("a=1")), Some(Some("a=1"))),
            (&[" session = t ;;"], Some(None), Some(None)),
            (&["session=\u{fffd}t; a=1"], Some(Some("a=1")), Some(Some("a=1"))),
            (&[], None, None),
            // One line for all of them, or the first one alone.
            (&["session=t", "a=1"], Some(Some("a=1")), Some(None)),
            (&["a=1; session=t", "b=2"], Some(Some("a=1; b=2")), Some(Some("a=1"))),
        ];
        for (cookies, on_envoy, on_kong) in cases {
            for (editing, left) in [(Editing::EveryLine, on_envoy), (Editing::FirstLine, on_kong)] {
                let lines = cookies.iter().map(|cookie| ("cookie", cookie.as_bytes())).collect();
                let mut edits = Vec::new();
                remove_credential(&credentials(Some("session")), &Sent { editing, lines }, &mut edits);
                let cookie = edits.iter().find(|edit| edit.name == "cookie").map(|edit| edit.value.as_deref());
                assert_eq!(cookie, left, "{editing:?} {cookies:?}");
                assert!(edits.contains(&Edit::drop("authorization")));
            }
        }
    }
}
