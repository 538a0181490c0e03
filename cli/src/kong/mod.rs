//! What Kong takes in a declarative configuration.

mod rules;

pub use rules::{host_fault, method_fault, name_fault, path_fault, tag_fault};

/// The tag of everything that `generate` writes, by which it knows its own.
pub const MANAGED: &str = "managed-by:backstage-kong";
/// The filter's name in Kong.
pub const FILTER: &str = "backstage_kong";
