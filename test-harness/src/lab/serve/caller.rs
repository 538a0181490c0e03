//! The filter's own HTTP calls.

use crate::host::{Dispatch, DispatchFailure, Reply};
use crate::lab::http::{Client, FetchError, Outgoing, header_map};
use crate::lab::resolve::host_port;
use http::header::{CONNECTION, HOST};
use http::{HeaderValue, Method};
use std::time::Duration;

/// Makes a call. The time-out is for all of it, where Kong times connecting, sending and each read by itself.
pub(super) async fn call(client: &Client, dispatch: Dispatch) -> Result<Reply, DispatchFailure> {
    if dispatch.scheme == "https" {
        return Err(DispatchFailure::TlsHandshake);
    }
    let timeout = if dispatch.timeout.is_zero() { Duration::from_secs(60) } else { dispatch.timeout };
    let request = outgoing(&dispatch).ok_or(DispatchFailure::BrokenConnection)?;
    let answer = client.send(request, timeout).await.map_err(|error| match error {
        FetchError::Timeout => DispatchFailure::Timeout,
        FetchError::Resolver(_) => DispatchFailure::Resolver,
        FetchError::Connect(_) | FetchError::Unsendable(_) => DispatchFailure::BrokenConnection,
        FetchError::Reader(_) => DispatchFailure::Reader,
    })?;
    let headers = answer.headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
    Ok(Reply { status: answer.status, headers, body: answer.body.to_vec(), is_cut: false })
}

fn outgoing(dispatch: &Dispatch) -> Option<Outgoing> {
    let (host, port) = host_port(&dispatch.target)?;
    let pairs = dispatch.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
    let mut headers = header_map(pairs).ok()?;
    headers.insert(HOST, HeaderValue::from_str(&dispatch.authority).ok()?);
    // A connection a call, as on Kong.
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    Some(Outgoing {
        method: Method::from_bytes(dispatch.method.as_bytes()).ok()?,
        host,
        port: port.unwrap_or(80),
        path: dispatch.path.clone(),
        headers,
        body: dispatch.body.clone().into(),
    })
}
