//! Calls to other servers.

use super::buffers::call_response_body;
use crate::http::{Call, Reply};
use proxy_wasm::hostcalls;
use proxy_wasm::types::MapType;

/// Makes a call; the answer comes under the token returned. `None` when the host does not take the call, for instance
/// because it does not know the upstream.
pub(super) fn send(call: &Call) -> Option<u32> {
    let mut headers = vec![
        (":method", "GET"),
        (":scheme", call.to.scheme.as_str()),
        (":authority", call.to.authority.as_str()),
        (":path", call.to.path.as_str()),
        ("accept", "application/json"),
    ];
    headers.extend(call.authorization.as_deref().map(|credential| ("authorization", credential)));
    hostcalls::dispatch_http_call(&call.to.upstream, headers, None, Vec::new(), call.timeout).ok()
}

/// The answer at hand. Of its body one byte more than `limit` is read, so that a longer one is seen to be too long.
///
/// An answer without headers is a failure, and nothing may be read of it: Envoy has no map then, which the SDK takes for a
/// reason to panic. So is an answer that was cut: its host gives a size, and no body.
pub(super) fn reply(headers: usize, body_size: usize, limit: usize) -> Option<Reply> {
    if headers == 0 {
        return None;
    }
    let header = |name| hostcalls::get_map_value_bytes(MapType::HttpCallResponseHeaders, name).ok().flatten();
    let text = |name| header(name).and_then(|value| String::from_utf8(value).ok());
    let status = text(":status")?.parse().ok()?;
    let body = match body_size.min(limit.saturating_add(1)) {
        0 => Vec::new(),
        size => call_response_body(size)?,
    };
    Some(Reply { status, cache_control: text("cache-control"), body })
}
