//! `backstage-kong`: catalogs become Kong configuration, configurations are checked, decisions explained.

use std::process::ExitCode;

fn main() -> ExitCode {
    backstage_kong_cli::app::main()
}
