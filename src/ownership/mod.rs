//! Claims → what the catalog calls the caller and its groups; a route → the entity behind it, and who stands how to it.

mod behind;
mod callee;
mod groups;
mod names;
mod principal;

pub use behind::{NoEntity, entity_behind};
pub use callee::{Callee, OwnershipSource};
pub use groups::{CatalogNeeded, GroupNames, Mapped, group_names, map_group, map_groups, map_names};
pub use names::map_user;
pub use principal::principal;
