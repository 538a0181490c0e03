//! The host: a [`Node`] is a machine, a [`Worker`] one VM on it, and an exchange one request through that VM.
//!
//! ```text
//! Node (shared data, metrics, clock, faults)     shared, Send + Sync
//!  └─ Worker (one VM, one instance of the module) one thread each
//!      ├─ root contexts, one a configuration, each with its ticks
//!      └─ exchanges: begin → (dispatch_reply)* → response → finish
//! ```
//!
//! Nothing here does I/O: the caller carries dispatches out and brings the replies back, so the same worker serves
//! a test with canned answers ([`drive`]) and an HTTP gateway with sockets. After **every** call into a worker that
//! can run the filter, ask [`Worker::take_dispatches`] for calls that were not part of the returned [`Step`].
//!
//! Left out, because no filter here needs them or because they belong to whoever does the I/O: response bodies and
//! trailers, TCP streams, gRPC, shared queues, pausing in response phases on Envoy, resolving names, and how time-outs
//! are counted ([`Dispatch::timeout`] is what the filter asked for). Several filters in one chain are left out too.

mod abi;
mod clock;
mod dispatch;
mod drive;
mod error;
mod exchange;
mod faults;
mod headers;
mod lifecycle;
mod log;
mod metrics;
mod module;
mod node;
mod profile;
mod prometheus;
mod properties;
mod request;
mod response;
mod shared_data;
mod slab;
mod state;
mod vm;
mod wasi;
mod worker;

pub use clock::Clock;
pub use dispatch::{Dispatch, DispatchFailure, Reply};
pub use drive::{Outcome, drive};
pub use error::{HostError, StartError};
pub use faults::Faults;
pub use headers::HeaderPairs;
pub use lifecycle::Reload;
pub use log::{LogLevel, LogLine};
pub use metrics::{HistogramBin, Metric};
pub use module::FilterModule;
pub use node::{Node, NodeBuilder};
pub use profile::Profile;
pub use prometheus::LabelPattern;
pub use request::{ExchangeId, Report, RequestHead, ResponseHead, ResponseStep, Step, UpstreamReply, UpstreamRequest};
pub use shared_data::{Eviction, Zone};
pub use worker::Worker;
