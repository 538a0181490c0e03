//! A proxy-wasm 0.2.1 host on wasmtime that behaves like Kong's or Envoy's, quirks included.
//!
//! Filters break in production on what a *host* does and its documentation does not say: Kong's shared data means
//! something else by `cas = 0` than Envoy's, its header map is mis-sized past a hundred pairs, a bad configuration
//! switches every filter off. This crate is a host one can run in a unit test that has those habits, so a filter
//! that passes here has met them. See [`host`] for the parts and how a request goes through them.
//!
//! ```no_run
//! use test_harness::{FilterModule, Node, Profile, Reply, RequestHead, UpstreamReply, Worker, Zone, drive};
//!
//! # fn main() -> anyhow::Result<()> {
//! let node = Node::builder(Profile::Kong)
//!     .zones([Zone::default_zone(1 << 20)])
//!     .filter_name("backstage_kong")
//!     .build();
//! let module = FilterModule::load("target/wasm32-wasip1/release/backstage_kong.wasm")?;
//! let mut worker = Worker::start(&node, &module, &[("payments".to_owned(), b"{}".to_vec())])?;
//!
//! let outcome = drive(
//!     &mut worker,
//!     "payments",
//!     RequestHead::get("/invoices").header("authorization", "Bearer ..."),
//!     &mut |call| Ok(Reply::new(200, format!("an answer to {}", call.path))),
//!     &mut |_request| UpstreamReply { status: 200, ..UpstreamReply::default() },
//! )?;
//! assert_eq!(outcome.status, 401);
//! # Ok(())
//! # }
//! ```
//!
//! [`lab`] puts a gateway for a laptop on it, with peers to talk to and scenarios to check any gateway by.

mod built;
pub mod envoy;
pub mod host;
pub mod lab;

pub use built::built_filter;
pub use host::*;
