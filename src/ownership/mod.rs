//! Claims → what the catalog calls the caller and its groups.

mod groups;
mod names;
mod principal;

pub use groups::map_groups;
pub use names::map_user;
pub use principal::principal;
