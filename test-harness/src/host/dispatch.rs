//! HTTP calls a filter makes, and what comes back.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use super::{ExchangeId, HeaderPairs};

/// An HTTP call the filter asks the host to make. Answer it with [`Worker::dispatch_reply`](crate::Worker::dispatch_reply).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dispatch {
    /// Names the call in the reply.
    pub token: u32,
    /// The exchange that made it; `None` when a root context did, in a tick.
    pub exchange: Option<ExchangeId>,
    /// Whom to call: on Kong `host[:port]`, `[v6]:port` or `unix:path`, on Envoy a cluster's name.
    pub target: String,
    /// `:method`.
    pub method: String,
    /// `:path`.
    pub path: String,
    /// `:scheme`; plain `http` unless the filter said `https`.
    pub scheme: String,
    /// `:authority`: the Host header, and with TLS the server name and the name verified. On Kong the target's host
    /// when the filter gave none.
    pub authority: String,
    /// The other headers. Kong drops the filter's Host and Connection.
    pub headers: HeaderPairs,
    /// The body.
    pub body: Vec<u8>,
    /// On Kong, for connecting, sending and each read by itself, and never for resolving names.
    pub timeout: Duration,
}

/// The answer to a [`Dispatch`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// `:status`.
    pub status: u16,
    /// The headers.
    pub headers: HeaderPairs,
    /// The body.
    pub body: Vec<u8>,
    /// Whether the connection ended within the body. Kong then reports the body's size, and refuses the body; Envoy has no answer.
    pub is_cut: bool,
}

impl Reply {
    /// A reply without headers.
    #[must_use]
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, body: body.into(), ..Self::default() }
    }
}

/// Why a [`Dispatch`] has no answer. The filter sees no headers; on Kong `:dispatch_status` says which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DispatchFailure {
    /// Connecting, sending or one read took too long.
    Timeout,
    /// Refused or closed.
    BrokenConnection,
    /// No TLS, or not with that name.
    TlsHandshake,
    /// The name is not known.
    Resolver,
    /// What came back is not HTTP.
    Reader,
}

impl DispatchFailure {
    /// Kong's word for it.
    #[must_use]
    pub fn dispatch_status(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::BrokenConnection => "broken connection",
            Self::TlsHandshake => "tls handshake failure",
            Self::Resolver => "resolver failure",
            Self::Reader => "reader failure",
        }
    }
}

/// The host part of a target, the way nginx's URL parser takes it, or the parser's complaint.
pub(crate) fn kong_target_host(target: &str) -> Result<&str, &'static str> {
    if let Some(path) = target.strip_prefix("unix:") {
        return if path.is_empty() { Err("no path in the unix domain socket") } else { Ok("localhost") };
    }
    if target.contains(['/', '?']) {
        return Err("invalid host");
    }
    if let Some(rest) = target.strip_prefix('[') {
        let (address, after) = rest.split_once(']').ok_or("invalid host")?;
        address.parse::<Ipv6Addr>().map_err(|_| "invalid IPv6 address")?;
        match after.strip_prefix(':') {
            Some(port) => check_port(port)?,
            None if after.is_empty() => {}
            None => return Err("invalid host"),
        }
        return Ok(address);
    }
    let (host, port) = target.split_once(':').map_or((target, None), |(host, port)| (host, Some(port)));
    if let Some(port) = port {
        check_port(port)?;
    }
    if host.is_empty() { Err("no host") } else { Ok(host) }
}

/// The name that Kong has to resolve for a target, in lower case; `None` when there is an address or a path in its place.
pub(crate) fn kong_host_name(target: &str) -> Option<String> {
    let host = kong_target_host(target).ok().filter(|_| !target.starts_with("unix:"))?;
    host.parse::<IpAddr>().is_err().then(|| host.to_ascii_lowercase())
}

fn check_port(port: &str) -> Result<(), &'static str> {
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(1..) if digits => Ok(()),
        _ => Err("invalid port"),
    }
}
