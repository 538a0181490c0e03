//! The compiled filter on both host profiles: what the core's own tests cannot see.
//!
//! Ignored unless asked for, because they need the release build (`make wasm`); `make test` asks.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests are tests too")]

mod background;
mod catalog;
mod cost;
mod floods;
mod growth;
mod keys;
mod latency;
mod presets;
mod quotas;
mod routes;
mod support;
mod telling;
mod upkeep;
