//! The body of an answer to a call.
//!
//! The SDK panics where the host gives no body. Kong does so where an answer was cut after its head: it reports a size, and refuses
//! the body (`BadArgument`). After a panic Kong lets the request that waits go on to the upstream.

const HTTP_CALL_RESPONSE_BODY: u32 = 4;

/// The first `limit` bytes of the body; `None` where the host does not give them.
pub(super) fn call_response_body(limit: usize) -> Option<Vec<u8>> {
    host::buffer(HTTP_CALL_RESPONSE_BODY, limit)
}

#[allow(unsafe_code, reason = "the SDK panics at the statuses that this call has to take")]
mod host {
    use std::ptr::null_mut;

    const OK: u32 = 0;

    #[link(wasm_import_module = "env")]
    unsafe extern "C" {
        fn proxy_get_buffer_bytes(kind: u32, start: usize, limit: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    }

    pub(super) fn buffer(kind: u32, limit: usize) -> Option<Vec<u8>> {
        let (mut data, mut size) = (null_mut(), 0);
        // SAFETY: the host writes an address and a size, for which there is room until it returns.
        let status = unsafe { proxy_get_buffer_bytes(kind, 0, limit, &raw mut data, &raw mut size) };
        if status != OK || data.is_null() {
            return None;
        }
        // SAFETY: the host has asked the SDK's `proxy_on_memory_allocate` for `size` bytes, which made a vector with that room
        // and forgot it, and has filled them.
        Some(unsafe { Vec::from_raw_parts(data, size, size) })
    }
}
