//! Arguments, and the command that they name.

use crate::generate::{GenerateArgs, Outcome};
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
    /// Write Kong configuration out of a catalog.
    Generate(GenerateArgs),
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    match App::parse().command {
        Command::Generate(args) => ended(args.run()),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut App::command(), "backstage-kong", &mut std::io::stdout());
            ExitCode::SUCCESS
        }
    }
}

fn ended(outcome: anyhow::Result<Outcome>) -> ExitCode {
    match outcome {
        Ok(outcome) => {
            outcome.findings.iter().for_each(|finding| anstream::eprintln!("{finding}"));
            anstream::print!("{}", outcome.printed);
            if outcome.is_fine { ExitCode::SUCCESS } else { ExitCode::from(1) }
        }
        Err(error) => {
            anstream::eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
