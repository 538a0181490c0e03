//! Arguments, and the command that they name.

use crate::check::CheckArgs;
use crate::explain::{self, ExplainArgs};
use crate::generate::GenerateArgs;
use crate::out::{self, Ending};
use crate::token::{self, TokenCommand};
use clap::{CommandFactory, Parser, Subcommand};
use std::process::ExitCode;

/// Backstage's catalog in Kong's request path: the command beside the filter.
#[derive(Debug, Parser)]
#[command(name = "backstage-kong", version, propagate_version = true, after_help = EXIT_CODES)]
struct App {
    #[command(subcommand)]
    command: Command,
    /// Whether output has colour; `auto` is for terminals, unless NO_COLOR is set.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    color: Color,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done, and nothing to object to
  1  done, with something to object to: a denial, a fault, a difference
  2  not done: wrong usage, or input that cannot be read";

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write Kong configuration out of a catalog.
    Generate(Box<GenerateArgs>),
    /// Find what is wrong with configurations, and with annotations in a catalog.
    Check(CheckArgs),
    /// Say what comes of a request and why, step by step.
    Explain(ExplainArgs),
    /// Make keys and tokens for development.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Print completions for a shell.
    #[command(after_help = "Examples:\n  backstage-kong completions bash > /etc/bash_completion.d/backstage-kong\n  \
                            backstage-kong completions zsh > ~/.zfunc/_backstage-kong")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let app = App::parse();
    let color = match app.color {
        Color::Auto => anstream::ColorChoice::Auto,
        Color::Always => anstream::ColorChoice::Always,
        Color::Never => anstream::ColorChoice::Never,
    };
    color.write_global();
    app.command.run().map_or_else(|error| out::failed(&error), ExitCode::from)
}

impl Command {
    fn run(self) -> anyhow::Result<Ending> {
        match self {
            Self::Generate(args) => args.run(),
            Self::Check(args) => args.run(),
            Self::Explain(args) => explain::run(&args),
            Self::Token(command) => token::run(&command),
            Self::Completions { shell } => completions(shell),
        }
    }
}

fn completions(shell: clap_complete::Shell) -> anyhow::Result<Ending> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut App::command(), "backstage-kong", &mut script);
    std::io::Write::write_all(&mut std::io::stdout(), &script)?;
    Ok(Ending::Fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_sound() {
        App::command().debug_assert();
    }
}
