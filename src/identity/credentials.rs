//! Where a request carries its token (RFC 6750 §2). The query string is never read.

use super::CredentialError;
use crate::config::Credentials;
use crate::host::RequestHeaders;

/// A token, not verified.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// The token: characters of base64url and dots only.
    pub token: String,
}

/// Finds the request's one token, or none.
///
/// # Errors
/// [`CredentialError`] when there are several, or one that is not of the form that the route takes.
pub fn find_credential(config: &Credentials, headers: &dyn RequestHeaders) -> Result<Option<Found>, CredentialError> {
    let in_header = headers.get(&config.header).map(|value| in_header(config, &value)).transpose()?;
    let in_cookie = match &config.cookie {
        Some(name) => in_cookie(name, headers.get("cookie").unwrap_or_default())?,
        None => None,
    };
    let token = match (in_header, in_cookie) {
        (Some(_), Some(_)) => return Err(CredentialError::Multiple),
        (Some(token), None) | (None, Some(token)) => token,
        (None, None) => return Ok(None),
    };
    if token.len() > config.max_token_bytes {
        return Err(CredentialError::TooLong { found: token.len(), limit: config.max_token_bytes });
    }
    if token.is_empty() || !token.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'=')) {
        return Err(CredentialError::Malformed);
    }
    String::from_utf8(token).map(|token| Some(Found { token })).map_err(|_| CredentialError::Malformed)
}

/// Hosts join repeated headers with commas, which no token has.
fn in_header(config: &Credentials, value: &[u8]) -> Result<Vec<u8>, CredentialError> {
    if value.contains(&b',') {
        return Err(CredentialError::Multiple);
    }
    let value = value.trim_ascii();
    let Some(scheme) = &config.scheme else { return Ok(value.to_owned()) };
    let (found, token) = value.split_at_checked(scheme.len()).ok_or(CredentialError::Malformed)?;
    match token.split_first() {
        Some((b' ', token)) if found.eq_ignore_ascii_case(scheme.as_bytes()) => Ok(token.trim_ascii().to_owned()),
        _ => Err(CredentialError::Malformed),
    }
}

/// The value of the one cookie of this name (RFC 6265 §4.2.1); some clients put it in quotes.
fn in_cookie(name: &str, cookies: Vec<u8>) -> Result<Option<Vec<u8>>, CredentialError> {
    let mut found = None;
    for pair in cookies.split(|b| matches!(b, b';' | b',')) {
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

    struct Sent(Vec<(&'static str, &'static [u8])>);

    impl RequestHeaders for Sent {
        fn get(&self, name: &str) -> Option<Vec<u8>> {
            self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_vec())
        }

        fn names(&self) -> Option<Vec<String>> {
            None
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

    #[test]
    fn a_token_is_found_in_one_place_or_refused() {
        use CredentialError::{Malformed, Multiple};
        let bearer = credentials("authorization", Some("Bearer"), Some("session"));
        let token = |text: &str| Ok(Some(Found { token: text.to_owned() }));
        let cases: Vec<(Vec<(&str, &[u8])>, _)> = vec![
            (vec![], Ok(None)),
            (vec![("authorization", b"Bearer a.b.c")], token("a.b.c")),
            (vec![("authorization", b"bearer   a.b.c ")], token("a.b.c")),
            (vec![("authorization", b"Basic YTpi")], Err(Malformed)),
            (vec![("authorization", b"Bearer")], Err(Malformed)),
            (vec![("authorization", b"Bearer ")], Err(Malformed)),
            (vec![("authorization", b"Bearera.b.c")], Err(Malformed)),
            (vec![("authorization", b"")], Err(Malformed)),
            (vec![("authorization", b"Bearer a b")], Err(Malformed)),
            (vec![("authorization", b"Bearer \xff\xfe")], Err(Malformed)),
            (vec![("authorization", b"Bearer a,Bearer b")], Err(Multiple)),
            (
                vec![("authorization", b"Bearer aaaaaaaaaaaaaaaaaaaaa")],
                Err(CredentialError::TooLong { found: 21, limit: 20 }),
            ),
            (vec![("cookie", b"a=1; session=a.b.c; b=2")], token("a.b.c")),
            (vec![("cookie", b"session=\"a.b.c\"")], token("a.b.c")),
            (vec![("cookie", b"xsession=a; session_=b")], Ok(None)),
            (vec![("cookie", b"session=a; session=b")], Err(Multiple)),
            (vec![("cookie", b"session=")], Err(Malformed)),
            (vec![("authorization", b"Bearer a"), ("cookie", b"session=a")], Err(Multiple)),
        ];
        for (headers, found) in cases {
            assert_eq!(find_credential(&bearer, &Sent(headers.clone())), found, "{headers:?}");
        }
    }

    #[test]
    fn a_header_of_its_own_holds_the_bare_token() {
        let own = credentials("x-api-token", None, None);
        let sent = Sent(vec![("x-api-token", b"a.b.c"), ("authorization", b"Basic YTpi")]);
        assert_eq!(find_credential(&own, &sent), Ok(Some(Found { token: "a.b.c".into() })));
    }
}
