//! `lab`: a gateway for a laptop, development peers, scenarios, and a demonstration.

use clap::Parser;
use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    test_harness::lab::cli::Cli::parse().run().await
}
