//! Headers that only this filter may set.

use crate::config::{ConsumerHeaders, Tags};
use crate::host::Names;
use std::borrow::Cow;
use std::sync::OnceLock;

/// The filter's own tags.
const FAMILY: [&str; 5] =
    ["x-backstage-entity-ref", "x-backstage-owner", "x-backstage-user", "x-backstage-groups", "x-backstage-agent"];

/// What Kong's authentication plugins tell upstreams.
const KONG_FAMILY: [&str; 6] = [
    "x-consumer-id",
    "x-consumer-custom-id",
    "x-consumer-username",
    "x-consumer-groups",
    "x-credential-identifier",
    "x-anonymous-consumer",
];

/// The names to remove from a request. With the names it came with, those that an upstream might read as one of the family;
/// without, every mix of `-` and `_` (see `docs/adr/0003`).
pub fn strip_list(tags: &Tags, names: Option<Names<'_>>) -> Vec<Cow<'static, str>> {
    let kong = tags.consumer_headers != ConsumerHeaders::Keep;
    let owned = |name: &[u8]| Cow::Owned(String::from_utf8_lossy(name).into_owned());
    match names {
        Some(names) => names.filter(|name| is_ours(name, kong)).map(owned).collect(),
        None => spellings(kong).iter().map(|name| Cow::Borrowed(name.as_str())).collect(),
    }
}

fn is_ours(name: &[u8], kong: bool) -> bool {
    let family = FAMILY.iter().chain(KONG_FAMILY.iter().filter(|_| kong));
    family.into_iter().any(|known| reads_as(name, known))
}

/// Whether an upstream that maps `_` and `.` to `-` reads `name` as `known`.
fn reads_as(name: &[u8], known: &str) -> bool {
    let dashed = name.iter().map(|c| if matches!(c, b'_' | b'.') { b'-' } else { c.to_ascii_lowercase() });
    name.len() == known.len() && dashed.eq(known.bytes())
}

fn spellings(kong: bool) -> &'static [String] {
    static OWN: OnceLock<Vec<String>> = OnceLock::new();
    static ALL: OnceLock<Vec<String>> = OnceLock::new();
    if kong {
        ALL.get_or_init(|| FAMILY.iter().chain(&KONG_FAMILY).flat_map(|name| spell(name)).collect())
    } else {
        OWN.get_or_init(|| FAMILY.iter().flat_map(|name| spell(name)).collect())
    }
}

fn spell(name: &str) -> Vec<String> {
    let mut parts = name.split('-');
    let mut spelled = vec![parts.next().unwrap_or_default().to_owned()];
    for part in parts {
        spelled = spelled.iter().flat_map(|start| [format!("{start}-{part}"), format!("{start}_{part}")]).collect();
    }
    spelled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(consumer_headers: ConsumerHeaders) -> Tags {
        Tags { baggage: true, consumer_headers, context: true }
    }

    #[test]
    fn every_spelling_is_named_where_headers_cannot_be_listed() {
        let list = strip_list(&tags(ConsumerHeaders::Keep), None);
        for name in
            ["x-backstage-user", "x_backstage_user", "x_backstage-user", "x-backstage_user", "x-backstage_entity-ref"]
        {
            assert!(list.iter().any(|known| known == name), "{name}");
        }
        assert_eq!(list.len(), 8 + 4 * 4);
        assert_eq!(strip_list(&tags(ConsumerHeaders::Strip), None).len(), 24 + 8 + 5 * 4);
    }

    #[test]
    fn whatever_reads_as_one_of_the_family_is_named_where_headers_can_be_listed() {
        let names = [
            "X-Backstage-User",
            "x.backstage.user",
            "x_Backstage-entity.ref",
            "x-consumer-id",
            "x-backstage",
            "accept",
            "x-backstage-user2",
        ];
        let listed = || Some(Box::new(names.iter().map(|name| name.as_bytes())) as Names<'_>);
        assert_eq!(strip_list(&tags(ConsumerHeaders::Set), listed()), names[..4]);
        assert_eq!(strip_list(&tags(ConsumerHeaders::Keep), listed()), names[..3]);
    }
}
