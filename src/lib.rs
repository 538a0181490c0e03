//! Backstage's catalog in Kong's request path: verify, map, decide, charge, tag and record, as one proxy-wasm filter.
//!
//! The crate is a pure core and one thin adapter. Arrows point one way:
//!
//! ```text
//! filter → exchange → denial, worker → telemetry, tags, policy → quota, ownership → catalog, keyring, identity
//!        → shared_record, config → record, pacing, jose → host, http, path, entity, json, digest, bytes, shared_pool, semaphore
//! ```
//!
//! Only [`filter`] knows `proxy_wasm`; without the `host` feature the crate builds without it. The core does no I/O of its own: what it
//! needs of the proxy it asks through the traits in [`host`], where randomness is too, and *now* is an argument. Its warnings go to the
//! `log` facade, which the adapter connects to the proxy's log. `tests/structure.rs` holds the picture above.
#![deny(unsafe_code)]
#![cfg_attr(not(feature = "host"), forbid(unsafe_code))]

mod bytes;
pub mod catalog;
pub mod config;
pub mod denial;
mod digest;
pub mod entity;
pub mod exchange;
#[cfg(feature = "host")]
mod filter;
pub mod host;
pub mod http;
pub mod identity;
pub mod jose;
mod json;
pub mod keyring;
pub mod ownership;
mod pacing;
pub mod path;
pub mod policy;
pub mod quota;
pub mod record;
mod semaphore;
mod shared_pool;
mod shared_record;
pub mod tags;
pub mod telemetry;
pub mod worker;
