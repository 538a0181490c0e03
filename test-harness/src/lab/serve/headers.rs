//! Which headers go through.

use crate::host::HeaderPairs;
use http::HeaderMap;
use std::net::SocketAddr;

/// Headers of one connection only (RFC 9110 §7.6.1).
const HOP_BY_HOP: &[&str] =
    &["connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"];

/// The client's headers as the filter gets them. nginx drops names with other characters than letters, digits, `-` and,
/// as Kong sets it, `_`; `strict` says whether that is done.
pub(super) fn from_client(headers: &HeaderMap, strict: bool) -> HeaderPairs {
    let valid = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    pairs(headers).into_iter().filter(|(name, _)| !strict || valid(name)).collect()
}

/// How many lines Lua sees of a request (`lua_max_req_headers`).
const LUA_MAX_REQ_HEADERS: usize = 100;

/// What Kong's `request-transformer` leaves, told to remove these names: all lines of a name are gone, provided that one of them is
/// among those that Lua sees. Past them the plugin does not know that there is such a header, and lets it be.
pub(super) fn transform(headers: HeaderPairs, removed: &[String]) -> HeaderPairs {
    let seen = headers.iter().take(LUA_MAX_REQ_HEADERS).map(|(name, _)| name.to_ascii_lowercase());
    let seen: Vec<String> = seen.filter(|name| removed.contains(name) && name != "host").collect();
    let gone = |name: &str| seen.iter().any(|seen| seen.eq_ignore_ascii_case(name));
    headers.into_iter().filter(|(name, _)| !gone(name)).collect()
}

/// A header map as pairs, values as bytes.
pub(super) fn pairs(headers: &HeaderMap) -> HeaderPairs {
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
}

/// Takes out what is between two machines only, including what `Connection` names, and the length, which is set anew.
pub(super) fn without_hop_by_hop(pairs: HeaderPairs) -> HeaderPairs {
    let named: Vec<String> = pairs
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("connection"))
        .flat_map(|(_, value)| {
            String::from_utf8_lossy(value).split(',').map(|n| n.trim().to_owned()).collect::<Vec<_>>()
        })
        .collect();
    let dropped = |name: &str| {
        HOP_BY_HOP.iter().any(|hop| name.eq_ignore_ascii_case(hop))
            || name.eq_ignore_ascii_case("content-length")
            || named.iter().any(|named| name.eq_ignore_ascii_case(named))
    };
    pairs.into_iter().filter(|(name, _)| !dropped(name)).collect()
}

/// What a gateway tells the upstream about the client.
pub(super) struct Forwarded<'a> {
    pub(super) client: SocketAddr,
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) path: &'a str,
    pub(super) prefix: Option<&'a str>,
    pub(super) request_id: &'a str,
}

impl Forwarded<'_> {
    /// Sets `X-Forwarded-*`, `X-Real-IP` and `X-Kong-Request-Id`, as Kong does when it trusts no proxy before it.
    pub(super) fn set(&self, headers: &mut HeaderPairs) {
        let ip = self.client.ip().to_string();
        let name_is = |name: &str, wanted: &str| name.eq_ignore_ascii_case(wanted);
        let before = headers.iter().find(|(name, _)| name_is(name, "x-forwarded-for")).map(|(_, value)| value.clone());
        let chain = match before {
            Some(mut before) => {
                before.extend_from_slice(b", ");
                before.extend_from_slice(ip.as_bytes());
                before
            }
            None => ip.clone().into_bytes(),
        };
        let host = self.host.rsplit_once(':').map_or(self.host, |(host, _)| host);
        let mut set = |name: &str, value: Vec<u8>| {
            headers.retain(|(present, _)| !name_is(present, name));
            headers.push((name.to_owned(), value));
        };
        set("x-forwarded-for", chain);
        set("x-forwarded-proto", b"http".to_vec());
        set("x-forwarded-host", host.as_bytes().to_vec());
        set("x-forwarded-port", self.port.to_string().into_bytes());
        set("x-forwarded-path", self.path.as_bytes().to_vec());
        set("x-real-ip", ip.into_bytes());
        set("x-kong-request-id", self.request_id.as_bytes().to_vec());
        if let Some(prefix) = self.prefix {
            set("x-forwarded-prefix", prefix.as_bytes().to_vec());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Measured on Kong 3.9.3.
    #[test]
    fn a_request_transformer_sees_a_hundred_lines() {
        let junk = |count: usize| (0..count).map(|n| (format!("x-{n}"), Vec::new()));
        let forged = |name: &str| std::iter::once((name.to_owned(), Vec::new()));
        let removed = ["x-user".to_owned(), "host".to_owned()];
        for (headers, left) in [
            (junk(99).chain(forged("X-User")).collect::<HeaderPairs>(), 99),
            (junk(100).chain(forged("X-User")).collect(), 101),
            (forged("x-user").chain(junk(150)).chain(forged("X-USER")).collect(), 150),
            (forged("x_user").chain(forged("host")).collect(), 2),
        ] {
            assert_eq!(transform(headers.clone(), &removed).len(), left, "{headers:?}");
        }
    }
}
