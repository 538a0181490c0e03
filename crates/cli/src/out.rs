//! What every command says, and how it ends: results on standard output, the rest on standard error, colour where it is wanted.

use anstyle::{AnsiColor, Style};
use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

/// Headings.
pub const BOLD: Style = Style::new().bold();
/// What is beside the point.
pub const DIM: Style = Style::new().dimmed();
/// What is in order.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// What is not.
pub const BAD: Style = AnsiColor::Red.on_default();
/// What is worth a look.
pub const CARE: Style = AnsiColor::Yellow.on_default();

/// How a command ended. An error is a third way, with exit code 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Nothing to object to: exit code 0.
    Fine,
    /// It did its work and has something to object to, such as a fault, a difference or a denial: exit code 1.
    Findings,
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Fine => Self::SUCCESS,
            Ending::Findings => Self::from(1),
        }
    }
}

/// Writes a result, a line break included. Styles are left out where no colour is wanted.
///
/// # Errors
/// When standard output does not take it.
pub fn print(text: impl Display) -> io::Result<()> {
    writeln!(anstream::stdout(), "{text}")
}

/// Tells the person at the terminal what is no result.
pub fn note(text: impl Display) {
    // Who closes standard error does not want to know.
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// Warns.
pub fn warn(text: impl Display) {
    let style = CARE.bold();
    note(format_args!("{style}warning:{style:#} {text}"));
}

/// The end of a command that could not do its work: says why, each cause on a line of its own.
pub fn failed(error: &anyhow::Error) -> ExitCode {
    if error.chain().any(is_closed_pipe) {
        // Whoever read the output has seen enough, as `head` has.
        return ExitCode::SUCCESS;
    }
    let style = BAD.bold();
    note(format_args!("{style}error:{style:#} {error}"));
    for cause in error.chain().skip(1) {
        note(format_args!("  {DIM}because:{DIM:#} {cause}"));
    }
    ExitCode::from(2)
}

fn is_closed_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}
