//! The commands of `lab`.

use super::demo;
use super::http::Base;
use super::peers::{DEFAULT_ISSUER, Peers};
use super::resolve::{Resolve, ResolveEntry};
use super::scenarios::{self, Outcome, Target};
use super::serve::{Gateway, LogSink, Settings};
use crate::host::{FilterModule, LogLevel, LogLine, Profile};
use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A gateway for a laptop that runs the filter as Kong would, with peers to talk to and scenarios to check any gateway by.
#[derive(Debug, Parser)]
#[command(name = "lab", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway. SIGHUP reads kong.yml again as `kong reload` does, with empty zones of shared data; POST /config to the address of
    /// /metrics does it as Kong's Admin API, which keeps them. SIGINT and SIGTERM stop it.
    Serve(ServeArgs),
    /// Run the identity provider and the sample upstream alone, for any gateway to be put in front of them.
    Peers(PeersArgs),
    /// Send the table of requests to a gateway and check its answers.
    Scenarios(ScenariosArgs),
    /// Walk through what the filter does, on a gateway of its own.
    Demo(FilterArgs),
}

/// Where the filter and its configuration are.
#[derive(Debug, Args, Clone)]
pub(super) struct FilterArgs {
    /// Kong's declarative configuration.
    #[arg(long, default_value = "kong/kong.yml")]
    pub kong_yml: PathBuf,
    /// Directory of `<filter>.meta.json`.
    #[arg(long, default_value = "kong/filters")]
    pub filters: PathBuf,
    /// The compiled filter; the stem of the file is its name.
    #[arg(long, default_value = "kong/filters/backstage_kong.wasm")]
    pub wasm: PathBuf,
    /// The host to behave like.
    #[arg(long, value_enum, default_value_t = ProfileName::Kong)]
    pub profile: ProfileName,
    /// How many workers, each with a VM of its own over one shared data.
    #[arg(long, default_value_t = 2)]
    pub workers: usize,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum ProfileName {
    Kong,
    Envoy,
}

impl From<ProfileName> for Profile {
    fn from(name: ProfileName) -> Self {
        match name {
            ProfileName::Kong => Self::Kong,
            ProfileName::Envoy => Self::Envoy,
        }
    }
}

#[derive(Debug, Args)]
struct ServeArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// Where clients come in.
    #[arg(long, default_value = "127.0.0.1:8000")]
    listen: String,
    /// Where /metrics, /status and POST /config are.
    #[arg(long, default_value = "127.0.0.1:8001")]
    admin: String,
    /// Connect elsewhere for a host name of kong.yml: host=address or host:port=address:port. With the built-in peers,
    /// `peers` is theirs unless given.
    #[arg(long)]
    resolve: Vec<ResolveEntry>,
    /// Do not start the identity provider and the sample upstream.
    #[arg(long)]
    no_peers: bool,
    #[command(flatten)]
    peers: PeersArgs,
}

#[derive(Debug, Args)]
struct PeersArgs {
    /// Where the identity provider listens.
    #[arg(long, default_value = "127.0.0.1:9081")]
    idp: String,
    /// Where the sample upstream listens.
    #[arg(long, default_value = "127.0.0.1:9080")]
    upstream: String,
    /// `iss` of the tokens, whatever the address.
    #[arg(long, default_value = DEFAULT_ISSUER)]
    issuer: String,
}

#[derive(Debug, Args)]
struct ScenariosArgs {
    /// The gateway under test.
    #[arg(long, default_value = "http://127.0.0.1:8000")]
    gateway: Base,
    /// The development identity provider, as this machine reaches it.
    #[arg(long, default_value = "http://127.0.0.1:9081")]
    idp: Base,
    /// Which gateway it is: the table says where Kong cannot do the same as others.
    #[arg(long, value_enum, default_value = "kong")]
    host: ProfileName,
    /// Only scenarios whose group or name contains this.
    #[arg(long)]
    filter: Option<String>,
    /// Another table than the built-in one.
    #[arg(long)]
    table: Option<PathBuf>,
    /// Connect elsewhere for a host name, as with `serve`.
    #[arg(long)]
    resolve: Vec<ResolveEntry>,
    /// Wait this many seconds at most for gateway and provider to come up.
    #[arg(long, default_value_t = 30)]
    wait_seconds: u64,
    /// One JSON object a scenario instead of the table.
    #[arg(long)]
    json: bool,
}

impl Cli {
    /// Runs the command.
    pub async fn run(self) -> ExitCode {
        let outcome = match self.command {
            Command::Serve(args) => serve(args).await.map(|()| true),
            Command::Peers(args) => peers(&args).await.map(|()| true),
            Command::Scenarios(args) => run_scenarios(args).await,
            Command::Demo(args) => demo::run(&args).await.map(|()| true),
        };
        match outcome {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                anstream::eprintln!("lab: {error:#}");
                ExitCode::from(2)
            }
        }
    }
}

impl FilterArgs {
    /// Settings of a gateway with this filter.
    pub(super) fn settings(&self, listen: &str, admin: &str, resolve: Resolve) -> anyhow::Result<Settings> {
        if !self.wasm.exists() {
            anyhow::bail!("{} is not there; `make wasm` builds it", self.wasm.display());
        }
        Ok(Settings {
            kong_yml: self.kong_yml.clone(),
            filter: FilterModule::load(&self.wasm)?,
            filters: self.filters.clone(),
            profile: self.profile.into(),
            workers: self.workers,
            listen: listen.to_owned(),
            admin: admin.to_owned(),
            resolve,
        })
    }
}

/// Overrides that lead to peers on this machine, after `own`.
pub(super) fn to_peers(own: Vec<ResolveEntry>, peers: &Peers) -> anyhow::Result<Resolve> {
    let mut resolve = Resolve::new(own);
    resolve.push(format!("peers:9080={}", peers.upstream).parse()?);
    resolve.push(format!("peers:9081={}", peers.idp).parse()?);
    resolve.push(format!("peers={}", peers.idp.ip()).parse()?);
    Ok(resolve)
}

async fn serve(args: ServeArgs) -> anyhow::Result<()> {
    let (mut interrupt, mut terminate, mut hangup) = signals()?;
    let peers = match args.no_peers {
        true => None,
        false => Some(Peers::start(&args.peers.idp, &args.peers.upstream, &args.peers.issuer).await?),
    };
    let resolve = match &peers {
        Some(peers) => to_peers(args.resolve, peers)?,
        None => Resolve::new(args.resolve),
    };
    let gateway = Gateway::start(args.filter.settings(&args.listen, &args.admin, resolve)?, print_log()).await?;
    anstream::println!("gateway            http://{}", gateway.listen);
    anstream::println!("metrics, status    http://{}/metrics  /status", gateway.admin);
    if let Some(peers) = &peers {
        anstream::println!("identity provider  http://{}  (issuer {})", peers.idp, args.peers.issuer);
        anstream::println!("sample upstream    http://{}", peers.upstream);
        let token = format!("$(curl -s http://{}/token/payments-dev)", peers.idp);
        anstream::println!("\ntry  curl -i http://{}/payments/1 -H \"Authorization: Bearer {token}\"", gateway.listen);
    }
    anstream::println!("\nroutes");
    for line in gateway.summary() {
        anstream::println!("  {line}");
    }
    loop {
        tokio::select! {
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            _ = hangup.recv() => match gateway.reload().await {
                Ok(report) => anstream::println!("reloaded: {report}"),
                Err(error) => anstream::eprintln!("not reloaded, the old configuration stays: {error:#}"),
            },
        }
    }
    anstream::println!("stopping");
    gateway.stop().await;
    Ok(())
}

async fn peers(args: &PeersArgs) -> anyhow::Result<()> {
    let (mut interrupt, mut terminate, _hangup) = signals()?;
    let peers = Peers::start(&args.idp, &args.upstream, &args.issuer).await?;
    anstream::println!("identity provider  http://{}  (issuer {})", peers.idp, args.issuer);
    anstream::println!("sample upstream    http://{}", peers.upstream);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

async fn run_scenarios(args: ScenariosArgs) -> anyhow::Result<bool> {
    let text = match &args.table {
        Some(path) => std::fs::read_to_string(path).with_context(|| path.display().to_string())?,
        None => scenarios::TABLE.to_owned(),
    };
    let groups = scenarios::parse(&text).context("the table of scenarios")?;
    let target = Target::new(args.gateway, args.idp, Resolve::new(args.resolve), args.host.into());
    target.wait_until_up(Duration::from_secs(args.wait_seconds)).await?;
    let mut group = String::new();
    let outcomes = target
        .run(&groups, args.filter.as_deref(), |outcome| match args.json {
            true => anstream::println!("{}", serde_json::to_string(outcome).unwrap_or_default()),
            false => show(outcome, &mut group),
        })
        .await;
    let closing = scenarios::closing_line(&outcomes);
    match args.json {
        // The last line for people, where it is in nobody's way.
        true => anstream::eprintln!("{closing}"),
        false => anstream::println!("\n{closing}"),
    }
    anyhow::ensure!(!outcomes.is_empty(), "no scenario has {:?} in its group or name", args.filter.unwrap_or_default());
    Ok(outcomes.iter().all(Outcome::passed))
}

fn show(outcome: &Outcome, group: &mut String) {
    use anstyle::{AnsiColor, Style};
    if *group != outcome.group {
        outcome.group.clone_into(group);
        let bold = Style::new().bold();
        anstream::println!("\n{bold}{group}{bold:#}");
    }
    let (word, colour) = if outcome.passed() { ("ok  ", AnsiColor::Green) } else { ("FAIL", AnsiColor::Red) };
    let style = colour.on_default();
    anstream::println!("  {style}{word}{style:#} {:>6} ms  {}", outcome.milliseconds, outcome.name);
    for fault in &outcome.faults {
        anstream::println!("                  {fault}");
    }
}

/// Audit lines go to standard output as they are, so that they can be piped; the rest to standard error.
fn print_log() -> LogSink {
    Arc::new(|line: &LogLine| match audit_line(&line.text) {
        Some(json) => anstream::println!("{json}"),
        None => anstream::eprintln!("[{}] {}", level(line.level), line.text),
    })
}

/// The JSON object that ends a log line, if it is one.
pub(super) fn audit_line(text: &str) -> Option<&str> {
    let json = text.get(text.find('{')?..)?.trim_end();
    serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(json).ok().map(|_| json)
}

fn level(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Trace => "trace",
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
        LogLevel::Critical => "critical",
    }
}

fn signals() -> anyhow::Result<(Signal, Signal, Signal)> {
    Ok((signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_are_sound() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn the_compose_file_starts_the_peers_in_a_way_that_is_known() {
        let compose: serde_json::Value =
            serde_yaml_ng::from_str(include_str!("../../../kong/docker-compose.yml")).unwrap();
        let words = compose.pointer("/services/peers/command").and_then(serde_json::Value::as_array).unwrap();
        let words = words.iter().map(|word| word.as_str().unwrap());
        Cli::try_parse_from(["lab"].into_iter().chain(words)).unwrap();
    }

    #[test]
    fn audit_lines_are_told_from_others() {
        assert_eq!(audit_line("audit {\"decision\":\"allow\"}\n"), Some("{\"decision\":\"allow\"}"));
        assert_eq!(audit_line("bad configuration: {entity}"), None);
        assert_eq!(audit_line("plain"), None);
    }
}
