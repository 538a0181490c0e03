//! The thin adapter between the core and a proxy: the only part that knows `proxy_wasm`.
//!
//! It translates callbacks into events for [`crate::exchange`] and its effects into host calls, and holds no policy of its
//! own. Quirks of hosts that force its hand are named where they do.

mod buffers;
mod dispatch;
mod facts;
mod headers;
mod host;
mod http;
mod pairs;
mod root;
mod ticker;
mod vm;

use proxy_wasm::types::LogLevel;

// `main!` expands to the module's entry point, whose `no_mangle` counts as unsafe code.
#[allow(unsafe_code, missing_docs, unreachable_pub)]
mod entry {
    use super::{LogLevel, root};

    proxy_wasm::main! {{
        proxy_wasm::set_log_level(LogLevel::Trace);
        proxy_wasm::set_root_context(|id| Box::new(root::Root::new(id)));
    }}
}
