//! Arguments, and the command that they name.

use clap::{CommandFactory, Parser, Subcommand};
use std::process::ExitCode;

/// Backstage's catalog in Kong's request path: the command beside the filter.
#[derive(Debug, Parser)]
#[command(name = "backstage-kong", version)]
struct App {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    match App::parse().command {
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut App::command(), "backstage-kong", &mut std::io::stdout());
            ExitCode::SUCCESS
        }
    }
}
