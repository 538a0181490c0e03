//! Calls to other servers, as data: the core says what to ask, the adapter asks.

use std::time::Duration;

/// An HTTP URL, and where the proxy connects for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// `https` or `http`.
    pub scheme: String,
    /// Host and port of the URL: what `:authority` says, and the name that TLS verifies.
    pub authority: String,
    /// Path and query of the URL.
    pub path: String,
    /// Where the proxy connects, verbatim: `host:port` in Kong, a cluster name in Envoy.
    pub upstream: String,
}

impl Endpoint {
    /// Reads an http or https URL without user, fragment or spaces. Without an `upstream` the proxy connects to the URL's
    /// own host and port. `None` for what is no such URL.
    pub fn parse(uri: &str, upstream: Option<&str>) -> Option<Self> {
        let (scheme, rest) = uri.split_once("://")?;
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let clean = |text: &str, banned: &[u8]| text.bytes().all(|b| b.is_ascii_graphic() && !banned.contains(&b));
        let well_formed = !authority.is_empty() && clean(authority, b"@#\\") && clean(path, b"#");
        if !matches!(scheme, "http" | "https") || !well_formed {
            return None;
        }
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let upstream = upstream.map_or_else(|| address(scheme, authority), str::to_owned);
        Some(Self { scheme: scheme.to_owned(), authority: authority.to_owned(), path, upstream })
    }

    /// A GET of it. Of the answer `limit` bytes are read and one more, so that a longer one is seen to be too long.
    pub fn get(&self, timeout: Duration, limit: usize) -> Call {
        Call { to: self.clone(), authorization: None, timeout, limit }
    }
}

/// `host:port` with the scheme's own port where the URL names none.
fn address(scheme: &str, authority: &str) -> String {
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    match (has_port, scheme) {
        (true, _) => authority.to_owned(),
        (false, "https") => format!("{authority}:443"),
        (false, _) => format!("{authority}:80"),
    }
}

/// A call to another server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Whom.
    pub to: Endpoint,
    /// The `authorization` header, where it has one.
    pub authorization: Option<String>,
    /// How long the answer may take. Kong times connecting, sending and each read apart.
    pub timeout: Duration,
    /// Longest body of an answer, in bytes.
    pub limit: usize,
}

/// Another server's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// `cache-control`, where it has one.
    pub cache_control: Option<String>,
    /// The body, cut one byte after the call's `limit`.
    pub body: Vec<u8>,
}

impl Reply {
    /// The body of a 200.
    pub fn ok(&self) -> Option<&[u8]> {
        (self.status == 200).then_some(self.body.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_an_endpoint_at_its_own_host_unless_told_otherwise() {
        let cases = [
            ("https://idp.example", ("https", "idp.example", "/", "idp.example:443")),
            ("http://idp.example/a?b=c", ("http", "idp.example", "/a?b=c", "idp.example:80")),
            ("https://idp.example:8443?x", ("https", "idp.example:8443", "/?x", "idp.example:8443")),
            ("https://[::1]/a", ("https", "[::1]", "/a", "[::1]:443")),
            ("https://[::1]:9/a", ("https", "[::1]:9", "/a", "[::1]:9")),
        ];
        for (uri, (scheme, authority, path, upstream)) in cases {
            let found = Endpoint::parse(uri, None).unwrap();
            assert_eq!((found.scheme.as_str(), found.authority.as_str()), (scheme, authority), "{uri}");
            assert_eq!((found.path.as_str(), found.upstream.as_str()), (path, upstream), "{uri}");
        }
        assert_eq!(Endpoint::parse("https://idp.example", Some("cluster")).unwrap().upstream, "cluster");
    }

    #[test]
    fn what_is_no_http_url_is_no_endpoint() {
        for uri in
            ["", "idp.example", "ftp://x", "https://", "https://a b", "https://u@h/", "https://h/#f", "https:///p"]
        {
            assert_eq!(Endpoint::parse(uri, None), None, "{uri}");
        }
    }
}
