use super::baggage::{baggage, has_own_members};
use super::*;
use crate::config::{Credentials, PrincipalKind};
use crate::host::{Editing, Lines, RequestHeaders, UnixMillis, joined};
use crate::identity::{Groups, claims::Claims};
use crate::ownership::OwnershipSource;
use std::borrow::Cow;

pub(super) fn tags(consumer_headers: ConsumerHeaders, baggage: bool) -> Tags {
    Tags { baggage, consumer_headers, context: true }
}

fn callee() -> Callee {
    let entity = |text| EntityRef::parse_full(text).unwrap();
    let bare = Callee::bare(entity("api:default/payments"), OwnershipSource::Configuration);
    Callee { owners: vec![entity("group:default/payments")], ..bare }
}

fn principal() -> Principal {
    let entity = |text| EntityRef::parse_full(text).unwrap();
    Principal {
        kind: PrincipalKind::Agent,
        user: Some(entity("user:default/ada")),
        subject: "auth0|ada,\r\nx-evil: 1".into(),
        agent: Some("bot \u{fc}\r\nx-evil: 1".into()),
        client: Some("portal".into()),
        groups: Groups::Known(vec![entity("group:default/a"), entity("group:default/b"), entity("user:default/ada")]),
        issuer: "https://idp.example".into(),
        token_id: None,
        expires: UnixMillis(0),
        claims: Claims::parse(b"{}").unwrap(),
    }
}

/// What a client sent, to a host of one kind.
pub(super) struct Sent {
    pub editing: Editing,
    pub lines: Vec<(&'static str, &'static [u8])>,
}

impl RequestHeaders for Sent {
    fn get(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        joined(name, self.lines.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value))
    }

    fn lines(&self) -> Option<Lines<'_>> {
        Some(Box::new(self.lines.iter().map(|(name, value)| (name.as_bytes(), *value))))
    }

    fn editing(&self) -> Editing {
        self.editing
    }
}

pub(super) fn credentials(cookie: Option<&str>) -> Credentials {
    Credentials {
        header: "authorization".into(),
        scheme: Some("Bearer".into()),
        cookie: cookie.map(str::to_owned),
        forward_token: false,
        pass_cors_preflight: true,
        max_token_bytes: 1024,
    }
}

fn value<'a>(headers: &'a [(&'static str, Value)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| *known == name).map(|(_, value)| &**value)
}

#[test]
fn tags_are_refs_and_escaped_texts() {
    let headers = upstream_headers(&tags(ConsumerHeaders::Strip, true), &callee(), Some(&principal()));
    assert_eq!(value(&headers, "x-backstage-entity-ref"), Some("api:default/payments"));
    assert_eq!(value(&headers, "x-backstage-owner"), Some("group:default/payments"));
    assert_eq!(value(&headers, "x-backstage-user"), Some("user:default/ada"));
    assert_eq!(value(&headers, "x-backstage-groups"), Some("group:default/a,group:default/b"));
    assert_eq!(value(&headers, "x-backstage-agent"), Some("bot%20%C3%BC%0D%0Ax-evil:%201"));
    assert_eq!(value(&headers, "x-backstage-client"), Some("portal"));
    assert_eq!(value(&headers, "x-backstage-groups-incomplete"), None);
    assert!(headers.iter().all(|(_, value)| value.bytes().all(|b| b.is_ascii_graphic())));
    assert_eq!(value(&headers, "x-consumer-username"), None);
}

#[test]
fn consumer_headers_look_as_kongs_plugins_set_them() {
    let headers = upstream_headers(&tags(ConsumerHeaders::Set, true), &callee(), Some(&principal()));
    assert_eq!(value(&headers, "x-consumer-username"), Some("user:default/ada"));
    assert_eq!(value(&headers, "x-consumer-custom-id"), Some("auth0|ada%2C%0D%0Ax-evil:%201"));
    assert_eq!(value(&headers, "x-credential-identifier"), Some("portal"));
    assert_eq!(value(&headers, "x-consumer-groups"), Some("group:default/a,group:default/b"));
    assert_eq!(value(&headers, "x-anonymous-consumer"), None);
    let anonymous = upstream_headers(&tags(ConsumerHeaders::Set, true), &callee(), None);
    assert_eq!(value(&anonymous, "x-anonymous-consumer"), Some("true"));
}

#[test]
fn a_long_list_of_groups_is_cut_between_groups() {
    let mut principal = principal();
    let group = |n| EntityRef::parse_full(&format!("group:default/{}{n}", "x".repeat(50))).unwrap();
    principal.groups = Groups::Known((0..1000).map(group).collect());
    let headers = upstream_headers(&tags(ConsumerHeaders::Strip, true), &callee(), Some(&principal));
    let groups = value(&headers, "x-backstage-groups").unwrap();
    assert!(groups.len() <= 4096 && groups.split(',').all(|group| EntityRef::parse_full(group).is_ok()));
}

#[test]
fn a_service_is_told_by_its_client_and_groups_that_are_missing_are_told_as_such() {
    let entity = |text: &str| EntityRef::parse_full(text).unwrap();
    let fitting = |count: usize| (0..count).map(|n| entity(&format!("group:default/g{n:04}"))).collect();
    let unknown = Groups::Unknown(crate::identity::GroupsUnknown::Overflow);
    // 4,096 bytes are 204 references of 19 bytes each, with their commas.
    let cases = [
        (Some("batch\r\nx-evil: 1"), Groups::Known(fitting(1)), Some("batch%0D%0Ax-evil:%201"), None),
        (None, Groups::Known(Vec::new()), None, None),
        (Some("batch"), Groups::Known(fitting(204)), Some("batch"), None),
        (Some("batch"), Groups::Known(fitting(205)), Some("batch"), Some("cut")),
        (Some("batch"), unknown, Some("batch"), Some("unknown")),
        (None, Groups::Known(vec![entity("user:default/ada")]), None, None),
    ];
    for (client, groups, told, incomplete) in cases {
        let principal = Principal {
            kind: PrincipalKind::Service,
            user: None,
            agent: None,
            client: client.map(str::to_owned),
            groups,
            ..principal()
        };
        let count = principal.known_groups().len();
        let headers = upstream_headers(&tags(ConsumerHeaders::Strip, true), &callee(), Some(&principal));
        assert_eq!(value(&headers, "x-backstage-client"), told, "{count}");
        assert_eq!(value(&headers, "x-backstage-groups-incomplete"), incomplete, "{count}");
    }
    let nobody = upstream_headers(&tags(ConsumerHeaders::Strip, true), &callee(), None);
    assert_eq!((value(&nobody, "x-backstage-client"), value(&nobody, "x-backstage-groups-incomplete")), (None, None));
}

#[test]
fn a_line_with_a_forged_member_is_known_however_it_is_spaced() {
    for line in
        [&b"k=v,backstage.user=x"[..], b"\xa0backstage.user=x", b"\xc2\xa0backstage%2Euser=x", b";Backstage.Agent=x"]
    {
        assert!(has_own_members(line), "{}", line.escape_ascii());
    }
    for line in [&b"k=v"[..], b"k=backstage.user", b"backstage.users=x", b"\xff"] {
        assert!(!has_own_members(line), "{}", line.escape_ascii());
    }
}

#[test]
fn baggage_keeps_foreign_members_and_drops_forged_ones() {
    let ours = "backstage.entity_ref=api:default/payments,backstage.owner=group:default/payments";
    let cases: [(Option<&[u8]>, String); 16] = [
        (None, ours.into()),
        (Some(b"tenant=acme;p=1, k=v"), format!("{ours},tenant=acme;p=1,k=v")),
        (Some(b"backstage.user=user:default/root,k=v"), format!("{ours},k=v")),
        (Some(b"Backstage.Owner = x , k=v"), format!("{ours},k=v")),
        (Some(b"backstage%2Euser=user:default/root,k=v"), format!("{ours},k=v")),
        (Some(b"%62%61ckstage.user=root,k=v"), format!("{ours},k=v")),
        (Some(b"+backstage.agent+=root,k=v"), format!("{ours},k=v")),
        (Some(b"%20backstage.owner%20;p=root,k=v"), format!("{ours},k=v")),
        (Some(b"backstage.user;p=1,k=v"), format!("{ours},k=v")),
        (Some(b"backstage%252Euser=x,backstage.users=y"), format!("{ours},backstage%252Euser=x,backstage.users=y")),
        // Java skips the `;`.
        (Some(b";backstage.user=user:default/root,k=v"), format!("{ours},k=v")),
        // Python, JavaScript and Go trim these.
        (Some(b"%C2%A0backstage.user=user:default/root,k=v"), format!("{ours},k=v")),
        (Some(b"%0Bbackstage.agent=none,k=v"), format!("{ours},k=v")),
        // Go gives up the whole header.
        (Some(b"a b=c,k=v"), format!("{ours},k=v")),
        (Some(b"nonsense,,=x"), ours.into()),
        (Some(b"\xff\xfe"), ours.into()),
    ];
    for (existing, expected) in cases {
        assert_eq!(baggage(&tags(ConsumerHeaders::Strip, true), Some(&callee()), None, existing, 0), Some(expected));
    }
    assert_eq!(
        baggage(&tags(ConsumerHeaders::Strip, false), Some(&callee()), None, Some(b"backstage.user=x"), 0),
        None
    );
    assert_eq!(
        baggage(&tags(ConsumerHeaders::Strip, false), Some(&callee()), None, Some(b"backstage.user=x,k=v"), 0),
        Some("k=v".into())
    );
    let agent = baggage(&tags(ConsumerHeaders::Strip, true), Some(&callee()), Some(&principal()), None, 0).unwrap();
    assert!(
        agent.ends_with("backstage.user=user:default/ada,backstage.agent=bot%20%C3%BC%0D%0Ax-evil:%201"),
        "{agent}"
    );
}

#[test]
fn baggage_stays_within_what_platforms_pass_on() {
    let many = (0..500).map(|n| format!("k{n}={}", "v".repeat(100))).collect::<Vec<_>>().join(",");
    let baggage =
        baggage(&tags(ConsumerHeaders::Strip, true), Some(&callee()), None, Some(many.as_bytes()), 0).unwrap();
    assert!(baggage.len() <= 8192 && baggage.split(',').count() <= 64);
    let kept = 4000;
    let shorter = super::baggage::baggage(
        &tags(ConsumerHeaders::Strip, true),
        Some(&callee()),
        None,
        Some(many.as_bytes()),
        kept,
    );
    assert!((4000..=8192 - kept).contains(&shorter.unwrap().len()), "with what stays in other lines");
}
