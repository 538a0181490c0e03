//! A proxy-wasm 0.2.1 host on wasmtime that behaves like Kong's or Envoy's, quirks included.
//!
//! Filters break in production on what a *host* does and its documentation does not say: Kong's shared data means
//! something else by `cas = 0` than Envoy's, its header map is mis-sized past a hundred pairs, a bad configuration
//! switches every filter off. This crate is a host one can run in a unit test that has those habits, so a filter
//! that passes here has met them. See [`host`] for the parts and how a request goes through them.
//!
//! [`lab`] puts a gateway for a laptop on it, with peers to talk to and scenarios to check any gateway by.

pub mod host;
pub mod lab;

pub use host::*;
