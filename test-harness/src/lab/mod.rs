//! The lab: a gateway for a laptop, development peers, and scenarios to check any gateway by.

pub mod cli;
mod demo;
pub mod http;
pub mod peers;
pub mod resolve;
pub mod scenarios;
pub mod serve;
