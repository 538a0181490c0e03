//! What goes into a request and comes out of it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{Dispatch, HeaderPairs};

/// One request through a [`Worker`](crate::Worker).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExchangeId(pub(crate) u32);

impl std::fmt::Display for ExchangeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A client's request as the gateway has read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// `http` or `https`.
    pub scheme: String,
    /// The Host header or `:authority`.
    pub authority: String,
    /// Headers in order. A Host header is added when there is none.
    pub headers: HeaderPairs,
    /// The whole body; the filter sees it in one piece.
    pub body: Vec<u8>,
    /// Where the client is.
    pub client: SocketAddr,
    /// Properties by dotted path, `kong.route_id` for example; they go before the host's own.
    pub properties: BTreeMap<String, Vec<u8>>,
    /// Kong: whether a Lua plugin buffers the answer. Kong then sends the request on without running the filter's request
    /// callbacks; those of the response run.
    pub is_buffered: bool,
}

impl RequestHead {
    /// A request without headers or body, from 127.0.0.1 to `example.test`.
    #[must_use]
    pub fn new(method: impl Into<String>, path: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            path: path.into(),
            scheme: "http".to_owned(),
            authority: "example.test".to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            client: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 40000),
            properties: BTreeMap::new(),
            is_buffered: false,
        }
    }

    /// `GET` of a path.
    #[must_use]
    pub fn get(path: impl Into<String>) -> Self {
        Self::new("GET", path)
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets a property by its dotted path.
    #[must_use]
    pub fn property(mut self, path: impl Into<String>, value: impl Into<Vec<u8>>) -> Self {
        self.properties.insert(path.into(), value.into());
        self
    }
}

/// What the gateway sends upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamRequest {
    /// The method.
    pub method: String,
    /// Path and query. On Kong the client's, whatever the filter set.
    pub path: String,
    /// `http` or `https`.
    pub scheme: String,
    /// The Host header. On Kong the client's, whatever the filter set.
    pub authority: String,
    /// The other headers, every line that goes out. On Kong that is more than the filter sees: what it has removed is sent all the
    /// same, and only the first line of a name can be set.
    pub headers: HeaderPairs,
    /// The body.
    pub body: Vec<u8>,
}

impl UpstreamRequest {
    /// The first header of the name, as text; `None` when there is none or it is not UTF-8.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}

/// What an upstream answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamReply {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderPairs,
    /// The body.
    pub body: Vec<u8>,
}

/// A response on its way to the client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseHead {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderPairs,
    /// The body, when the filter or the host made one; otherwise the upstream's goes on.
    pub body: Option<Vec<u8>>,
    /// What the host calls the reason, for logs; empty when there is none.
    pub details: String,
}

impl ResponseHead {
    /// The first header of the name, as text; `None` when there is none or it is not UTF-8.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}

fn header<'a>(headers: &'a [(String, Vec<u8>)], name: &str) -> Option<&'a str> {
    let (_, value) = headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    std::str::from_utf8(value).ok()
}

/// What happens next to an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this upstream, then call [`Worker::response`](crate::Worker::response), or
    /// [`Worker::gateway_error`](crate::Worker::gateway_error) when there is no upstream to be had.
    Forward(UpstreamRequest),
    /// Send this to the client, then call [`Worker::finish`](crate::Worker::finish). The response callbacks have
    /// already seen it.
    LocalResponse(ResponseHead),
    /// Paused. Make these calls; the list is empty when only earlier ones are being waited for.
    Dispatch(Vec<Dispatch>),
    /// Paused, and nothing is left that could wake it: the client waits until it gives up. Call
    /// [`Worker::abort`](crate::Worker::abort) when it does.
    Hung,
    /// Nothing for any exchange: a root context's call was answered, or one that had been cancelled.
    Background,
}

/// What happens next to a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponseStep {
    /// Send this to the client, then call [`Worker::finish`](crate::Worker::finish).
    Respond(ResponseHead),
    /// The client waits for bytes that will not come: a replaced body with the old content-length, or a pause.
    Hung,
}

/// What an exchange cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Instructions the filter ran, in wasmtime's units of fuel.
    pub fuel_used: u64,
    /// Bytes that host functions copied out of the filter's memory, and into it.
    pub bytes_copied: u64,
    /// Bytes the filter asked its allocator for, where it tells, as `test-harness/measured` does.
    pub bytes_allocated: u64,
    /// Host functions the filter called, by name.
    pub host_calls: BTreeMap<&'static str, u32>,
}
