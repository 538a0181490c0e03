//! Header lines of a client's that must not reach the upstream as they came.

use super::baggage::{self, Kept};
use crate::config::{Config, ConsumerHeaders, Credentials, Tags};
use crate::host::{Editing, RequestHeaders};
use crate::identity::has_cookie;

/// The filter's own tags.
const TAGS: [&str; 7] = [
    "x-backstage-entity-ref",
    "x-backstage-owner",
    "x-backstage-user",
    "x-backstage-groups",
    "x-backstage-groups-incomplete",
    "x-backstage-client",
    "x-backstage-agent",
];

/// What Kong's authentication plugins tell upstreams.
const CONSUMER_HEADERS: [&str; 6] = [
    "x-consumer-id",
    "x-consumer-custom-id",
    "x-consumer-username",
    "x-consumer-groups",
    "x-credential-identifier",
    "x-anonymous-consumer",
];

/// By which some frameworks let a request have another method than the one that was decided on.
const METHOD_OVERRIDES: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];

/// Why a request's header lines cannot be made safe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// The host cannot list them.
    #[error("there are more header lines than the host can list")]
    TooMany,
    /// A protected header has a second line, which the host cannot change.
    #[error(
        "a second line of the header {0:?} has what only the gateway may send, and the host cannot change second lines"
    )]
    Repeated(String),
    /// `baggage` has so much in second lines, which the host cannot change, that parsers would drop the filter's own members with them.
    #[error("lines of the header \"baggage\" that the host cannot change leave no room for the gateway's members")]
    LongBaggage,
}

/// The protected header lines that a client sent, each name once. Most clients send none.
#[derive(Debug, Default)]
pub struct ClientLines {
    protected: Vec<ClientLine>,
    /// Bytes of `baggage` lines after the first, which stay as they are.
    kept_baggage: usize,
}

/// A protected header line.
#[derive(Debug)]
pub(super) struct ClientLine {
    /// Its name as sent.
    pub name: String,
    /// The protected name that upstreams may read it as.
    pub reads_as: &'static str,
}

/// What is protected on a route.
pub(super) struct Protected<'a> {
    pub tags: &'a Tags,
    pub credentials: &'a Credentials,
    /// Whether the method of a request must stay what was decided on.
    pub method: bool,
}

impl ClientLines {
    /// Finds the protected lines among those of a request.
    ///
    /// # Errors
    /// [`HeaderFault`] where the upstream would get something that only this filter may say, or a credential, whatever the host is
    /// asked to do.
    pub fn read(config: &Config, headers: &dyn RequestHeaders) -> Result<Self, HeaderFault> {
        let Config { tags, credentials, .. } = config;
        Self::find(&Protected { tags, credentials, method: config.depends_on_method }, headers)
    }

    fn find(protected: &Protected<'_>, headers: &dyn RequestHeaders) -> Result<Self, HeaderFault> {
        let lines = headers.lines().ok_or(HeaderFault::TooMany)?;
        let first_only = headers.editing() == Editing::FirstLine;
        let mut shared = SharedLines::new(protected.credentials);
        let mut found = Vec::new();
        for (name, value) in lines {
            if let Some(reads_as) = protected.name(name) {
                let is_repeated = found.iter().any(|line: &ClientLine| is_name(name, &line.name));
                if !is_repeated {
                    found.push(ClientLine { name: String::from_utf8_lossy(name).into_owned(), reads_as });
                } else if first_only {
                    return Err(HeaderFault::Repeated(reads_as.to_owned()));
                }
            } else if first_only {
                shared.check(name, value)?;
            }
        }
        Ok(Self { protected: found, kept_baggage: shared.kept.bytes })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &ClientLine> {
        self.protected.iter()
    }

    pub(super) fn kept_baggage(&self) -> usize {
        self.kept_baggage
    }
}

/// Headers that clients may send, and whose first line the filter edits.
struct SharedLines<'a> {
    credentials: &'a Credentials,
    has_baggage: bool,
    kept: Kept,
    has_credential: bool,
    has_cookie: bool,
}

impl<'a> SharedLines<'a> {
    fn new(credentials: &'a Credentials) -> Self {
        Self { credentials, has_baggage: false, kept: Kept::default(), has_credential: false, has_cookie: false }
    }

    /// Refuses a second line that would have to be edited.
    fn check(&mut self, name: &[u8], value: &[u8]) -> Result<(), HeaderFault> {
        let Credentials { header, cookie, forward_token, .. } = self.credentials;
        if self.has_baggage && is_name(name, "baggage") && !self.kept.add(value) {
            return Err(HeaderFault::LongBaggage);
        }
        let (seen, needs_edit) = if is_name(name, "baggage") {
            (&mut self.has_baggage, baggage::has_own_members(value))
        } else if is_name(name, header) {
            (&mut self.has_credential, !forward_token)
        } else if is_name(name, "cookie") {
            (&mut self.has_cookie, !forward_token && cookie.as_deref().is_some_and(|name| has_cookie(name, value)))
        } else {
            return Ok(());
        };
        if std::mem::replace(seen, true) && needs_edit {
            return Err(HeaderFault::Repeated(String::from_utf8_lossy(name).to_ascii_lowercase()));
        }
        Ok(())
    }
}

/// Compares names, whose lengths mostly differ.
fn is_name(name: &[u8], known: &str) -> bool {
    name.len() == known.len() && name.eq_ignore_ascii_case(known.as_bytes())
}

impl Protected<'_> {
    /// The protected name that an upstream may read `name` as.
    fn name(&self, name: &[u8]) -> Option<&'static str> {
        // All of them begin alike, and most headers do not.
        if !matches!(name.first(), Some(b'x' | b'X')) {
            return None;
        }
        let consumer = self.tags.consumer_headers != ConsumerHeaders::Keep;
        let consumer_headers = CONSUMER_HEADERS.iter().filter(|_| consumer);
        let overrides = METHOD_OVERRIDES.iter().filter(|_| self.method);
        let mut known = TAGS.iter().chain(consumer_headers).chain(overrides);
        known.find(|known| reads_as(name, known)).copied()
    }
}

/// Whether an upstream that maps `_` and `.` to `-` reads `name` as `known`.
fn reads_as(name: &[u8], known: &str) -> bool {
    let dashed = name.iter().map(|c| if matches!(c, b'_' | b'.') { b'-' } else { c.to_ascii_lowercase() });
    name.len() == known.len() && dashed.eq(known.bytes())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Sent, credentials, tags};
    use super::*;

    fn read(
        consumer_headers: ConsumerHeaders,
        editing: Editing,
        sent: &[(&'static str, &'static [u8])],
    ) -> Result<Vec<String>, HeaderFault> {
        let (tags, credentials) = (tags(consumer_headers, true), credentials(Some("session")));
        let protected = Protected { tags: &tags, credentials: &credentials, method: true };
        let lines = ClientLines::find(&protected, &Sent { editing, lines: sent.to_vec() })?;
        Ok(lines.protected.into_iter().map(|line| format!("{} as {}", line.name, line.reads_as)).collect())
    }

    #[test]
    fn lines_that_an_upstream_may_read_as_a_protected_name_are_found() {
        let sent: [(_, &[u8]); 12] = [
            ("X-Backstage-User", b"1"),
            ("x.backstage.user", b"1"),
            ("x_Backstage-entity.ref", b"1"),
            ("x-consumer-id", b"1"),
            ("x-backstage", b"1"),
            ("accept", b"1"),
            ("X_Backstage_Client", b"1"),
            ("x-backstage-groups-incomplete", b"cut"),
            ("x-backstage-user2", b"1"),
            ("X-HTTP-Method-Override", b"DELETE"),
            ("x_method_override", b"DELETE"),
            ("x-backstage-user", b"2"),
        ];
        let found = [
            "X-Backstage-User as x-backstage-user",
            "x.backstage.user as x-backstage-user",
            "x_Backstage-entity.ref as x-backstage-entity-ref",
            "x-consumer-id as x-consumer-id",
            "X_Backstage_Client as x-backstage-client",
            "x-backstage-groups-incomplete as x-backstage-groups-incomplete",
            "X-HTTP-Method-Override as x-http-method-override",
            "x_method_override as x-method-override",
        ];
        assert_eq!(read(ConsumerHeaders::Strip, Editing::EveryLine, &sent).unwrap(), found);
        assert_eq!(read(ConsumerHeaders::Strip, Editing::FirstLine, &sent[..11]).unwrap(), found);
        let kept = read(ConsumerHeaders::Keep, Editing::EveryLine, &sent).unwrap();
        assert!(!kept.iter().any(|line| line.contains("consumer")), "Kong's own plugins may speak: {kept:?}");
    }

    #[test]
    fn a_second_line_that_cannot_be_changed_is_refused_where_it_says_what_only_the_filter_may() {
        type Lines = &'static [(&'static str, &'static [u8])];
        let cases: [(Lines, Option<&str>); 15] = [
            (&[("x-backstage-user", b"a"), ("X-Backstage-User", b"b")], Some("x-backstage-user")),
            (&[("x_backstage_user", b"a"), ("x_backstage_user", b"b")], Some("x-backstage-user")),
            (&[("x_backstage_user", b"a"), ("x-backstage-user", b"b")], None),
            (&[("x-consumer-id", b"a"), ("x-consumer-id", b"b")], Some("x-consumer-id")),
            (&[("authorization", b"a"), ("Authorization", b"b")], Some("authorization")),
            (&[("baggage", b"a=b"), ("baggage", b"c=d")], None),
            (&[("baggage", b"backstage.user=root"), ("baggage", b"c=d")], None),
            (&[("baggage", b"a=b"), ("baggage", b"c=d, Backstage.User = root")], Some("baggage")),
            (&[("baggage", b"a=b"), ("baggage", b"backstage%2euser=root")], Some("baggage")),
            (&[("baggage", b"a=b"), ("Baggage", b"+%62ackstage.agent+;p=1=root")], Some("baggage")),
            (&[("cookie", b"a=b"), ("cookie", b"session=t")], Some("cookie")),
            (&[("cookie", b"session=t"), ("cookie", b"a=b")], None),
            (&[("cookie", b"a=b"), ("cookie", b"xsession=t; session2=t")], None),
            (&[("accept", b"a"), ("accept", b"b")], None),
            (&[("x-http-method", b"GET"), ("x-http-method", b"PUT")], Some("x-http-method")),
        ];
        for (sent, refused) in cases {
            let fault = refused.map(|name| HeaderFault::Repeated(name.to_owned()));
            assert_eq!(read(ConsumerHeaders::Strip, Editing::FirstLine, sent).err(), fault, "{sent:?}");
            assert_eq!(
                read(ConsumerHeaders::Strip, Editing::EveryLine, sent).err(),
                None,
                "every line can be removed: {sent:?}"
            );
        }
    }

    #[test]
    fn further_lines_of_baggage_leave_room_for_the_first() {
        let [fits, long, many] = [vec![b'a'; 4000], vec![b'a'; 4200], [b'a', b','].repeat(100)];
        for (further, is_refused) in [(&fits, false), (&long, true), (&many, true)] {
            let sent = [("baggage", b"a=b" as &[u8]), ("Baggage", &*further.clone().leak())];
            let fault = is_refused.then_some(HeaderFault::LongBaggage);
            assert_eq!(read(ConsumerHeaders::Strip, Editing::FirstLine, &sent).err(), fault);
            assert_eq!(read(ConsumerHeaders::Strip, Editing::EveryLine, &sent).err(), None);
        }
    }

    #[test]
    fn lines_that_cannot_be_listed_are_refused() {
        struct Unlisted;
        impl RequestHeaders for Unlisted {
            fn get(&self, _: &str) -> Option<std::borrow::Cow<'_, [u8]>> {
                None
            }

            fn lines(&self) -> Option<crate::host::Lines<'_>> {
                None
            }

            fn editing(&self) -> Editing {
                Editing::FirstLine
            }
        }
        let (tags, credentials) = (tags(ConsumerHeaders::Strip, true), credentials(None));
        let protected = Protected { tags: &tags, credentials: &credentials, method: false };
        assert_eq!(ClientLines::find(&protected, &Unlisted).unwrap_err(), HeaderFault::TooMany);
    }
}
