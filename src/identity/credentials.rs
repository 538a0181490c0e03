//! Where a request carries its token (RFC 6750 §2). The query string is never read.

use super::CredentialError;
use crate::config::Credentials;
use crate::host::RequestHeaders;
use std::borrow::Cow;

/// What ends a cookie. Some clients put commas.
pub(crate) const COOKIE_ENDS: [char; 2] = [';', ','];

/// What stands where a token should, not looked at yet: most are known, and a known one need not be looked at again.
#[derive(Debug, PartialEq, Eq)]
pub struct Found<'a>(Cow<'a, [u8]>);

impl Found<'_> {
    /// Its bytes, to be looked for among tokens that were verified.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The token: characters of base64url and dots only.
    ///
    /// # Errors
    /// [`CredentialError`] for any other character. Hosts that join repeated headers do so with commas, which no token has.
    pub fn token(self) -> Result<String, CredentialError> {
        if self.0.iter().all(|byte| IN_TOKENS.get(usize::from(*byte)) == Some(&true)) {
            return String::from_utf8(self.0.into_owned()).map_err(|_| CredentialError::Malformed);
        }
        Err(if self.0.contains(&b',') { CredentialError::Multiple } else { CredentialError::Malformed })
    }
}

/// Whether the configured header has something for this filter. Another scheme's credential is the upstream's business (RFC 9110
/// §11.6.2), and an empty header, as a gateway before this one may leave it, is none.
pub(crate) fn is_addressed(config: &Credentials, headers: &dyn RequestHeaders) -> bool {
    let (Some(value), Some(scheme)) = (headers.get(&config.header), &config.scheme) else { return true };
    let found = value.trim_ascii().split(u8::is_ascii_whitespace).next().unwrap_or_default();
    let is_ours = found.eq_ignore_ascii_case(scheme.as_bytes());
    // Among several lines one may be ours.
    let is_named = |(name, _): &(&[u8], &[u8])| name.eq_ignore_ascii_case(config.header.as_bytes());
    let lines = || headers.lines().map_or(2, |lines| lines.filter(is_named).count());
    is_ours || (!found.is_empty() && lines() > 1)
}

/// Finds the request's one token, or none.
///
/// # Errors
/// [`CredentialError`] when there are several, or one that is not of the form that the route takes.
pub fn find_credential<'a>(
    config: &Credentials,
    headers: &'a dyn RequestHeaders,
) -> Result<Option<Found<'a>>, CredentialError> {
    let is_addressed = is_addressed(config, headers);
    let value = || headers.get(&config.header).filter(|value| is_addressed && !value.trim_ascii().is_empty());
    // Hosts that join repeated headers do so with commas, which no token has.
    let is_joined = || value().is_some_and(|value| value.contains(&b','));
    let fault = |error| if is_joined() { CredentialError::Multiple } else { error };
    let in_header = value().map(|value| part(value, |value| in_header(config, value))).transpose().map_err(fault)?;
    let in_cookie = match &config.cookie {
        Some(name) => in_cookie(name, &headers.get("cookie").unwrap_or_default())?.map(Cow::Owned),
        None => None,
    };
    let token = match (in_header, in_cookie) {
        (Some(_), Some(_)) => return Err(CredentialError::Multiple),
        (Some(token), None) | (None, Some(token)) => token,
        (None, None) => return Ok(None),
    };
    if token.len() > config.max_token_bytes {
        return Err(fault(CredentialError::TooLong { found: token.len(), limit: config.max_token_bytes }));
    }
    if token.is_empty() { Err(fault(CredentialError::Malformed)) } else { Ok(Some(Found(token))) }
}

/// The characters of base64url, and dots: a table, for every byte of every token is looked at.
#[expect(clippy::indexing_slicing, reason = "done by the compiler")]
static IN_TOKENS: [bool; 256] = {
    let (mut table, mut byte) = ([false; 256], 0);
    while byte < 128 {
        let c = byte as u8;
        table[byte] = c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.' | b'=');
        byte += 1;
    }
    table
};

/// A part of a value, where it is borrowed without a copy.
fn part<'a, E>(value: Cow<'a, [u8]>, of: impl Fn(&[u8]) -> Result<&[u8], E>) -> Result<Cow<'a, [u8]>, E> {
    Ok(match value {
        Cow::Borrowed(value) => Cow::Borrowed(of(value)?),
        Cow::Owned(value) => Cow::Owned(of(&value)?.to_owned()),
    })
}

fn in_header<'a>(config: &Credentials, value: &'a [u8]) -> Result<&'a [u8], CredentialError> {
    let value = value.trim_ascii();
    let Some(scheme) = &config.scheme else { return Ok(value) };
    let (found, token) = value.split_at_checked(scheme.len()).ok_or(CredentialError::Malformed)?;
    match token.split_first() {
        Some((b' ', token)) if found.eq_ignore_ascii_case(scheme.as_bytes()) => Ok(token.trim_ascii()),
        _ => Err(CredentialError::Malformed),
    }
}

/// Whether a line of cookies has one of this name.
pub(crate) fn has_cookie(name: &str, cookies: &[u8]) -> bool {
    !matches!(in_cookie(name, cookies), Ok(None))
}

/// The value of the one cookie of this name (RFC 6265 §4.2.1); some clients put it in quotes.
fn in_cookie(name: &str, cookies: &[u8]) -> Result<Option<Vec<u8>>, CredentialError> {
    let mut found = None;
    for pair in cookies.split(|b| COOKIE_ENDS.contains(&char::from(*b))) {
        let mut parts = pair.trim_ascii().splitn(2, |b| *b == b'=');
        if parts.next().map(<[u8]>::trim_ascii) != Some(name.as_bytes()) {
            continue;
        }
        let value = parts.next().unwrap_or_default().trim_ascii();
        let value = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
        if found.replace(value.to_owned()).is_some() {
            return Err(CredentialError::Multiple);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Editing, Lines, joined};

    struct Sent(Vec<(&'static str, &'static [u8])>);

    impl RequestHeaders for Sent {
        fn get(&self, name: &str) -> Option<Cow<'_, [u8]>> {
            joined(name, self.0.iter().filter(|(known, _)| *known == name).map(|(_, value)| *value))
        }

        fn lines(&self) -> Option<Lines<'_>> {
            Some(Box::new(self.0.iter().map(|(name, value)| (name.as_bytes(), *value))))
        }

        fn editing(&self) -> Editing {
            Editing::EveryLine
        }
    }

    fn credentials(header: &str, scheme: Option<&str>, cookie: Option<&str>) -> Credentials {
        Credentials {
            header: header.into(),
            scheme: scheme.map(str::to_owned),
            cookie: cookie.map(str::to_owned),
            forward_token: false,
            pass_cors_preflight: true,
            max_token_bytes: 20,
        }
    }

    fn find(config: &Credentials, sent: Vec<(&'static str, &'static [u8])>) -> Result<Option<String>, CredentialError> {
        find_credential(config, &Sent(sent))?.map(Found::token).transpose()
    }

    #[test]
    fn a_token_is_found_in_one_place_or_refused() {
        use CredentialError::{Malformed, Multiple};
        let bearer = credentials("authorization", Some("Bearer"), Some("session"));
        let token = |text: &str| Ok(Some(text.to_owned()));
        type Lines = Vec<(&'static str, &'static [u8])>;
        let cases: Vec<(Lines, Result<Option<String>, CredentialError>)> = vec![
            (vec![], Ok(None)),
            (vec![("authorization", b"Bearer a.b.c")], token("a.b.c")),
            (vec![("authorization", b"bearer   a.b.c ")], token("a.b.c")),
            // Another scheme is the upstream's business.
            (vec![("authorization", b"Basic YTpi")], Ok(None)),
            (vec![("authorization", b"AWS4-HMAC-SHA256 Credential=a, SignedHeaders=host, Signature=b")], Ok(None)),
            (vec![("authorization", b"Basic YTpi"), ("authorization", b"Bearer a")], Err(Multiple)),
            (vec![("authorization", b"Basic YTpi"), ("cookie", b"session=a.b.c")], token("a.b.c")),
            (vec![("authorization", b"Bearer")], Err(Malformed)),
            (vec![("authorization", b"Bearer ")], Err(Malformed)),
            (vec![("authorization", b"Bearer\ta.b.c")], Err(Malformed)),
            (vec![("authorization", b"Bearera.b.c")], Ok(None)),
            (vec![("authorization", b"")], Ok(None)),
            (vec![("authorization", b"  ")], Ok(None)),
            (vec![("authorization", b"Bearer a b")], Err(Malformed)),
            (vec![("authorization", b"Bearer \xff\xfe")], Err(Malformed)),
            (vec![("authorization", b"Bearer a,Bearer b")], Err(Multiple)),
            (
                vec![("authorization", b"Bearer aaaaaaaaaaaaaaaaaaaaa")],
                Err(CredentialError::TooLong { found: 21, limit: 20 }),
            ),
            (vec![("authorization", b"Bearer a"), ("authorization", b"Bearer b")], Err(Multiple)),
            (vec![("cookie", b"a=1; session=a.b.c; b=2")], token("a.b.c")),
            (vec![("cookie", b"session=\"a.b.c\"")], token("a.b.c")),
            (vec![("cookie", b"xsession=a; session_=b")], Ok(None)),
            (vec![("cookie", b"session=a; session=b")], Err(Multiple)),
            (vec![("cookie", b"session=")], Err(Malformed)),
            (vec![("authorization", b"Bearer a"), ("cookie", b"session=a")], Err(Multiple)),
        ];
        for (headers, found) in cases {
            assert_eq!(find(&bearer, headers.clone()), found, "{headers:?}");
        }
    }

    #[test]
    fn a_header_of_its_own_holds_the_bare_token() {
        let own = credentials("x-api-token", None, None);
        let sent: Vec<(_, &[u8])> = vec![("x-api-token", b"a.b.c"), ("authorization", b"Basic YTpi")];
        assert_eq!(find(&own, sent), Ok(Some("a.b.c".into())));
    }
}
