//! One request: routed, through the filter, to the upstream and back.

use super::headers::{Forwarded, from_client, pairs, transform, without_hop_by_hop};
use super::plan::properties;
use super::pool::{Conversation, Verdict, WorkerGone};
use super::{Running, Shared};
use crate::host::{HeaderPairs, RequestHead, ResponseHead, UpstreamRequest};
use crate::lab::http::{FetchError, Outgoing, header_map};
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use kong_yml::uri::{escape, nginx_path, normalize};
use kong_yml::{Match, RequestLine, Route, Service};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// The most bytes of a request body; more is answered with 413.
pub const MAX_REQUEST_BODY: usize = 16 * 1024 * 1024;

type Answer = Response<Full<Bytes>>;

/// Accepts connections until told to stop, then waits a little for those that are busy.
pub(super) async fn listen(listener: TcpListener, shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let graceful = GracefulShutdown::new();
    let port = listener.local_addr().map_or(0, |address| address.port());
    loop {
        let (stream, client) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                // Too many open files, or a client already gone: neither is a reason to stop.
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
            },
            _ = stop.changed() => break,
        };
        let shared = Arc::clone(&shared);
        let service = service_fn(move |request| {
            let shared = Arc::clone(&shared);
            async move { handle(&shared, Peer { client, port }, request).await }
        });
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder.timer(TokioTimer::new()).max_headers(1000);
        let connection = graceful.watch(builder.serve_connection(TokioIo::new(stream), service));
        // A connection ends with an error when its client goes away: no news.
        tokio::spawn(async move { drop(connection.await) });
    }
    // Past this the busy ones are cut.
    let _ = tokio::time::timeout(Duration::from_secs(5), graceful.shutdown()).await;
}

#[derive(Clone, Copy)]
struct Peer {
    client: SocketAddr,
    port: u16,
}

/// Errors close the connection, as the death of a worker does.
async fn handle(shared: &Shared, peer: Peer, request: Request<Incoming>) -> Result<Answer, WorkerGone> {
    let request_id = format!("{:032x}", rand::random::<u128>());
    let (parts, body) = request.into_parts();
    let answer = match Limited::new(body, MAX_REQUEST_BODY).collect().await {
        Ok(body) => {
            let request = ClientRequest { parts, body: body.to_bytes(), peer, request_id: &request_id };
            request.proxy(shared).await?
        }
        Err(_) => message(StatusCode::PAYLOAD_TOO_LARGE, "Request body too large", &request_id),
    };
    Ok(answer)
}

struct ClientRequest<'a> {
    parts: http::request::Parts,
    body: Bytes,
    peer: Peer,
    request_id: &'a str,
}

impl ClientRequest<'_> {
    async fn proxy(self, shared: &Shared) -> Result<Answer, WorkerGone> {
        // Held until the answer is there: the workers live as long.
        let Running { node, plan, pool } = shared.running();
        let path = self.parts.uri.path();
        let kong = node.profile().is_kong();
        let decoded = nginx_path(path);
        if kong && decoded.is_none() {
            return Ok(message(StatusCode::BAD_REQUEST, "Bad request", self.request_id));
        }
        let host = self.host();
        let normal = normalize(path);
        let line =
            RequestLine { method: self.parts.method.as_str(), host: &host, path: &String::from_utf8_lossy(&normal) };
        let found = plan.router.route(line).and_then(|found| {
            let route = plan.config.routes.get(found.route)?;
            Some((found, route, plan.service(route)?))
        });
        let Some((found, route, service)) = found else {
            return Ok(message(StatusCode::NOT_FOUND, "no Route matched with those values", self.request_id));
        };
        let filter_path = match decoded.filter(|_| kong) {
            Some(decoded) => String::from_utf8_lossy(&decoded).into_owned(),
            None => path.to_owned(),
        };
        let head = self.head(with_query(filter_path, self.parts.uri.query()), &host, route, service, kong);
        let (conversation, verdict) = pool.begin(&route.name, head).await?;
        match verdict {
            Verdict::Respond(head) => {
                conversation.finish(head.status);
                Ok(to_client(head, Bytes::new(), self.request_id))
            }
            Verdict::Forward(upstream) => {
                let (path, prefix) = upstream_path(&normal, found, route, service);
                let target = Target { route, service, host: &host, prefix: prefix.as_deref() };
                let path = with_query(path, self.parts.uri.query());
                self.forward(shared, conversation, upstream, path, &target).await
            }
        }
    }

    fn head(&self, path: String, host: &str, route: &Route, service: &Service, kong: bool) -> RequestHead {
        RequestHead {
            method: self.parts.method.as_str().to_owned(),
            path,
            scheme: "http".to_owned(),
            authority: host.to_owned(),
            headers: match kong {
                true => transform(from_client(&self.parts.headers, true), &route.removed_headers),
                false => from_client(&self.parts.headers, false),
            },
            body: self.body.to_vec(),
            client: self.peer.client,
            properties: self.properties(route, service, kong),
            is_buffered: false,
        }
    }

    /// What a filter can ask of the request: on Kong its target as sent, too (nginx's `request_uri`), whatever `:path` has become.
    fn properties(&self, route: &Route, service: &Service, kong: bool) -> BTreeMap<String, Vec<u8>> {
        let mut properties = properties(route, service);
        if kong {
            let sent = with_query(self.parts.uri.path().to_owned(), self.parts.uri.query());
            properties.insert("request.path".to_owned(), sent.into_bytes());
            properties.insert("ngx.kong_request_id".to_owned(), self.request_id.as_bytes().to_vec());
        }
        properties
    }

    fn host(&self) -> String {
        let header = self.parts.headers.get(HOST).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        header.or_else(|| self.parts.uri.authority().map(ToString::to_string)).unwrap_or_default()
    }

    async fn forward(
        &self,
        shared: &Shared,
        conversation: Conversation,
        upstream: UpstreamRequest,
        path: String,
        target: &Target<'_>,
    ) -> Result<Answer, WorkerGone> {
        let Some(request) = self.outgoing(upstream, path, target) else {
            return self.gateway_error(conversation, StatusCode::BAD_GATEWAY).await;
        };
        let service = target.service;
        match shared.client.send(request, service.connect_timeout + service.read_timeout).await {
            Ok(answer) => {
                let headers = without_hop_by_hop(pairs(&answer.headers));
                let head = conversation.response(answer.status, headers).await?;
                conversation.finish(head.status);
                Ok(to_client(head, answer.body, self.request_id))
            }
            Err(FetchError::Timeout) => self.gateway_error(conversation, StatusCode::GATEWAY_TIMEOUT).await,
            Err(_) => self.gateway_error(conversation, StatusCode::BAD_GATEWAY).await,
        }
    }

    fn outgoing(&self, upstream: UpstreamRequest, path: String, target: &Target<'_>) -> Option<Outgoing> {
        let mut headers = without_hop_by_hop(upstream.headers);
        headers.retain(|(name, _)| !name.eq_ignore_ascii_case("host"));
        let forwarded = Forwarded {
            client: self.peer.client,
            host: target.host,
            port: self.peer.port,
            path: self.parts.uri.path(),
            prefix: target.prefix,
            request_id: self.request_id,
        };
        forwarded.set(&mut headers);
        let mut headers = sendable(&headers)?;
        if target.route.preserve_host {
            headers.insert(HOST, HeaderValue::from_str(target.host).ok()?);
        }
        Some(Outgoing {
            method: Method::from_bytes(upstream.method.as_bytes()).ok()?,
            host: target.service.host.clone(),
            port: target.service.port,
            path,
            headers,
            body: upstream.body.into(),
        })
    }

    async fn gateway_error(&self, conversation: Conversation, status: StatusCode) -> Result<Answer, WorkerGone> {
        let head = conversation.gateway_error(status.as_u16()).await?;
        let text = match status {
            StatusCode::GATEWAY_TIMEOUT => "The upstream server is timing out",
            _ => "An invalid response was received from the upstream server",
        };
        let mut answer = message(status, text, self.request_id);
        if let Some(headers) = sendable(&head.headers) {
            answer.headers_mut().extend(headers);
        }
        Ok(answer)
    }
}

struct Target<'a> {
    route: &'a Route,
    service: &'a Service,
    host: &'a str,
    prefix: Option<&'a str>,
}

/// The path for the upstream, and the prefix that was taken off it.
fn upstream_path(normal: &[u8], found: Match, route: &Route, service: &Service) -> (String, Option<String>) {
    if !route.strip_path {
        return (format!("{}{}", service.path, escape(normal)), None);
    }
    let (prefix, rest) = normal.split_at(found.matched.min(normal.len()));
    let rest = escape(rest);
    let slash = if rest.starts_with('/') { "" } else { "/" };
    let path = format!("{}{slash}{rest}", service.path);
    (path, Some(escape(prefix)).filter(|prefix| prefix != "/"))
}

fn with_query(path: String, query: Option<&str>) -> String {
    match query {
        Some(query) => format!("{path}?{query}"),
        None => path,
    }
}

fn sendable(headers: &HeaderPairs) -> Option<HeaderMap> {
    header_map(headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()))).ok()
}

/// A response for the client; hyper sets its length.
fn to_client(head: ResponseHead, body: Bytes, request_id: &str) -> Answer {
    let Some(headers) = sendable(&without_hop_by_hop(head.headers)) else {
        return message(
            StatusCode::BAD_GATEWAY,
            "An invalid response was received from the upstream server",
            request_id,
        );
    };
    let mut answer = Response::new(Full::new(head.body.map_or(body, Bytes::from)));
    *answer.status_mut() = StatusCode::from_u16(head.status).unwrap_or(StatusCode::BAD_GATEWAY);
    *answer.headers_mut() = headers;
    with_request_id(answer, request_id)
}

/// A message of the gateway's own, as Kong words it.
fn message(status: StatusCode, text: &str, request_id: &str) -> Answer {
    let body = serde_json::json!({"message": text, "request_id": request_id}).to_string();
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    answer.headers_mut().insert(http::header::CONTENT_TYPE, json);
    with_request_id(answer, request_id)
}

fn with_request_id(mut answer: Answer, request_id: &str) -> Answer {
    if let Ok(value) = HeaderValue::from_str(request_id) {
        answer.headers_mut().insert("x-kong-request-id", value);
    }
    answer
}
