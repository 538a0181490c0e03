//! `token`: keys and tokens for development, marked as such in every place that has room for a mark.

mod keys;
mod mint;

use crate::out::{self, Ending};
use clap::Subcommand;

/// The claim that says what a token is for.
pub const MARK: &str = "backstage-kong/development";

/// What to make.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a key pair: the private key, and a key set that a configuration or --jwks takes.
    Keys(keys::KeysArgs),
    /// Make a token and print it.
    Mint(mint::MintArgs),
}

/// Makes keys or a token.
///
/// # Errors
/// What is wrong with the arguments, or keeps files from being read or written.
pub fn run(command: &TokenCommand) -> anyhow::Result<Ending> {
    match command {
        TokenCommand::Keys(args) => keys::run(args)?,
        TokenCommand::Mint(args) => mint::run(args)?,
    }
    Ok(Ending::Fine)
}

fn warn(what: &str) {
    out::warn(format_args!("{what} is for development; whoever has the key can be anybody"));
}
