//! `explain`: what comes of a request, step by step, from the filter's own code.

mod args;
mod assume;
mod calls;
mod catalog;
mod gateway;
pub mod model;
mod request;
mod steps;
mod table;
mod verdict;

pub use args::{ExplainArgs, run};
pub use assume::{AsIf, Assumptions};
pub use calls::{Calls, Network, Offline};
pub use catalog::WithCatalog;
pub use gateway::{Gateway, Site};
pub use request::Request;
pub use table::table;
