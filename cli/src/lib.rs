//! The `backstage-kong` command.

pub mod app;
