//! The `backstage-kong` command, as a library: each command is a function, which tests call too.

pub mod annotations;
pub mod app;
pub mod catalog;
pub mod check;
pub mod explain;
pub mod finding;
pub mod generate;
pub mod input;
pub mod kong;
pub mod out;
pub mod token;
pub mod web;
pub mod yaml;
