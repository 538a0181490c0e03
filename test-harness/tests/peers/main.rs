//! The compiled filter between real peers: a Backstage, the certified `oidc-provider`, Redis behind Webdis; on our host as
//! Kong, and under a real Envoy.
//!
//! Needs the release build of the filter (`make wasm`), Envoy (`make envoy`) and the peers (`make peers`), so these tests are
//! ignored unless asked for; `make test` asks.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests are tests too")]

mod backstage;
mod catalog;
mod cluster;
mod gateway;
mod oidc_provider;
mod process;
mod providers;
mod redis;
mod wire;
