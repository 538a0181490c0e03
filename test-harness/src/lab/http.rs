//! One HTTP client for all of the lab: it sends a path as it is written, and connects where `--resolve` says.

use super::resolve::Resolve;
use http::header::{HOST, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::time::Duration;

/// The most bytes of a response body that are taken: bodies are held in memory.
pub const MAX_RESPONSE_BODY: usize = 64 * 1024 * 1024;

/// A client. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Client {
    inner: HyperClient<HttpConnector, Full<Bytes>>,
    resolve: Resolve,
}

/// A request to send.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// The method.
    pub method: Method,
    /// Whom to ask, before `--resolve`.
    pub host: String,
    /// The port, before `--resolve`.
    pub port: u16,
    /// Path and query, sent as they stand.
    pub path: String,
    /// The headers; `Host` is the target unless it is among them.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// A response, whole.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// Why there is no response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// It took too long.
    #[error("timed out")]
    Timeout,
    /// The name is not known.
    #[error("cannot resolve the name: {0}")]
    Resolver(String),
    /// Refused, or closed.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// Not HTTP, or too much of it.
    #[error("cannot read the response: {0}")]
    Reader(String),
    /// The path or a header cannot be sent.
    #[error("cannot send this: {0}")]
    Unsendable(String),
}

impl Client {
    /// A client. `connect_timeout` bounds connecting; a whole request has its own bound.
    pub fn new(resolve: Resolve, connect_timeout: Duration) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(connect_timeout));
        let inner =
            HyperClient::builder(TokioExecutor::new()).pool_idle_timeout(Duration::from_secs(10)).build(connector);
        Self { inner, resolve }
    }

    /// Sends a request and reads the whole response within `timeout`.
    ///
    /// # Errors
    /// [`FetchError`], by what went wrong.
    pub async fn send(&self, request: Outgoing, timeout: Duration) -> Result<Incoming, FetchError> {
        let target = self.resolve.target(&request.host, request.port);
        let uri = Uri::builder()
            .scheme("http")
            .authority(target)
            .path_and_query(request.path)
            .build()
            .map_err(|error| FetchError::Unsendable(error.to_string()))?;
        let mut hyper_request = http::Request::new(Full::new(request.body));
        *hyper_request.method_mut() = request.method;
        *hyper_request.uri_mut() = uri;
        *hyper_request.headers_mut() = request.headers;
        if !hyper_request.headers().contains_key(HOST) {
            let host = format!("{}:{}", request.host, request.port);
            let host = HeaderValue::from_str(&host).map_err(|error| FetchError::Unsendable(error.to_string()))?;
            hyper_request.headers_mut().insert(HOST, host);
        }
        tokio::time::timeout(timeout, self.exchange(hyper_request)).await.map_err(|_| FetchError::Timeout)?
    }

    async fn exchange(&self, request: http::Request<Full<Bytes>>) -> Result<Incoming, FetchError> {
        let response = self.inner.request(request).await.map_err(|error| failure(&error))?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, MAX_RESPONSE_BODY).collect().await;
        let body = body.map_err(|error| FetchError::Reader(error.to_string()))?.to_bytes();
        Ok(Incoming { status: parts.status.as_u16(), headers: parts.headers, body })
    }

    /// `GET` of `http://host:port` + `path`, without headers.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn get(&self, base: &Base, path: &str, timeout: Duration) -> Result<Incoming, FetchError> {
        self.send(base.request(Method::GET, path), timeout).await
    }
}

impl Incoming {
    /// The first header of the name; what is not UTF-8 in it is replaced.
    pub fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    }
}

fn failure(error: &hyper_util::client::legacy::Error) -> FetchError {
    let mut text = error.to_string();
    let mut timed_out = false;
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = cause.to_string();
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            timed_out |= io.kind() == std::io::ErrorKind::TimedOut;
        }
        if text.contains("dns error") {
            return FetchError::Resolver(text);
        }
        source = cause.source();
    }
    match (timed_out, error.is_connect()) {
        (true, _) => FetchError::Timeout,
        (_, true) => FetchError::Connect(text),
        _ => FetchError::Reader(text),
    }
}

/// The origin of a server, from a URL such as `http://127.0.0.1:8000`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// Why a URL is not an origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("found {0:?}; allowed: http://host or http://host:port")]
pub struct BaseError(String);

impl std::str::FromStr for Base {
    type Err = BaseError;

    fn from_str(text: &str) -> Result<Self, BaseError> {
        let bad = || BaseError(text.to_owned());
        let rest = text.strip_prefix("http://").ok_or_else(bad)?;
        let (host, port) = super::resolve::host_port(rest.trim_end_matches('/')).ok_or_else(bad)?;
        if host.contains('/') {
            return Err(bad());
        }
        Ok(Self { host, port: port.unwrap_or(80) })
    }
}

impl std::fmt::Display for Base {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "http://[{}]:{}", self.host, self.port),
            false => write!(f, "http://{}:{}", self.host, self.port),
        }
    }
}

impl From<std::net::SocketAddr> for Base {
    fn from(address: std::net::SocketAddr) -> Self {
        Self { host: address.ip().to_string(), port: address.port() }
    }
}

impl Base {
    /// A request to it, without headers or body.
    pub fn request(&self, method: Method, path: &str) -> Outgoing {
        Outgoing {
            method,
            host: self.host.clone(),
            port: self.port,
            path: path.to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
        }
    }
}

/// Headers from names and values as bytes.
///
/// # Errors
/// When a name or value cannot stand in a header.
pub fn header_map<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<HeaderMap, FetchError> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let bad = || FetchError::Unsendable(format!("header {name}"));
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        headers.append(key, HeaderValue::from_bytes(value).map_err(|_| bad())?);
    }
    Ok(headers)
}
