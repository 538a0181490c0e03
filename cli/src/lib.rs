//! The `backstage-kong` command.

pub mod annotations;
pub mod app;
pub mod catalog;
pub mod finding;
pub mod generate;
pub mod kong;
pub mod yaml;
