//! The `backstage-kong` command, as a library: each command is a function, which tests call too.

pub mod app;
pub mod explain;
pub mod input;
pub mod out;
pub mod token;
