//! The sample upstream: says what reached it.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use axum::{Json, body};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Bodies up to this many bytes are counted; larger ones are refused with 413.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// Answers every request with a JSON account of it: `headers` by name, the lines of one joined with a comma, and `header_lines`, each
/// as it came; hyper writes names in lower case and puts the lines of one together. A path that ends in `/status/<n>` answers with that status, one that
/// ends in `/slow/<ms>` after that many milliseconds.
pub(super) fn router() -> Router {
    Router::new().fallback(any(echo)).route("/status/{status}", any(with_status)).route("/slow/{ms}", any(slow))
}

async fn with_status(Path(status): Path<u16>, request: Request) -> Response {
    let mut response = account(request).await;
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    response
}

async fn slow(Path(ms): Path<u64>, request: Request) -> Response {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    account(request).await
}

/// A route's prefix may come before `/status/<n>` and `/slow/<ms>`.
async fn echo(request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let mut ends = path.rsplit('/');
    let (last, before) = (ends.next().unwrap_or_default(), ends.next().unwrap_or_default());
    match (before, last.parse::<u64>()) {
        ("status", Ok(status)) => with_status(Path(u16::try_from(status).unwrap_or(400)), request).await,
        ("slow", Ok(ms)) => slow(Path(ms), request).await,
        _ => account(request).await,
    }
}

async fn account(request: Request) -> Response {
    let (parts, body) = request.into_parts();
    match body::to_bytes(body, MAX_BODY).await {
        Ok(bytes) => Json(describe(&parts.method, &parts.uri, &parts.headers, &bytes)).into_response(),
        Err(_) => (StatusCode::PAYLOAD_TOO_LARGE, Body::empty()).into_response(),
    }
}

fn describe(method: &Method, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Value {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let lines: Vec<_> = headers.iter().map(|(name, value)| json!([name.as_str(), text(value)])).collect();
    let mut seen = Map::new();
    for name in headers.keys() {
        let values = headers.get_all(name).iter().map(text);
        seen.insert(name.as_str().to_owned(), Value::String(values.collect::<Vec<_>>().join(", ")));
    }
    json!({
        "method": method.as_str(),
        "path": uri.path(),
        "query": uri.query(),
        "headers": seen,
        "header_lines": lines,
        "body_bytes": body.len(),
    })
}
