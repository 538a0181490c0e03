//! Calls to providers.

use crate::config::RemoteKeys;
use crate::jose::MAX_KEY_SET_BYTES;
use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType};

/// Asks a provider for its key set; the answer comes under the token returned. `None` when the host does not take the call,
/// for instance because it does not know the upstream.
pub(super) fn fetch_keys(remote: &RemoteKeys) -> Option<u32> {
    let headers = vec![
        (":method", "GET"),
        (":scheme", remote.scheme.as_str()),
        (":authority", remote.authority.as_str()),
        (":path", remote.path.as_str()),
        ("accept", "application/jwk-set+json, application/json"),
    ];
    hostcalls::dispatch_http_call(&remote.upstream, headers, None, Vec::new(), remote.fetch.timeout).ok()
}

/// The body of the answer at hand if it is a 200. One byte more than a key set may have is read, so that a larger one is seen
/// to be too large.
pub(super) fn keys(body_size: usize) -> Option<Vec<u8>> {
    let status = hostcalls::get_map_value_bytes(MapType::HttpCallResponseHeaders, ":status").ok().flatten()?;
    if status != b"200" {
        return None;
    }
    let size = body_size.min(MAX_KEY_SET_BYTES + 1);
    hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, size).ok().flatten()
}
