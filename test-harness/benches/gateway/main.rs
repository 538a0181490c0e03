//! What the filter costs a real Envoy, beside Envoy's own filters: `make bench`.
//!
//! All chains are started first, and rounds are short: each asks one chain after the other, so that what a machine does meanwhile
//! falls on all of them. Reported are medians over the rounds, of each chain's difference to the one without a filter, and ratios.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a benchmark ends at the first fault")]

mod cpu;
mod engine;
mod floods;
mod load;
#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../../tests/peers/process.rs"]
mod process;
#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../../tests/peers/redis.rs"]
mod redis;
mod report;
mod rivals;

use clap::Parser;
use report::{Row, median};
use rivals::{Rival, Size, rivals};
use std::path::{Path, PathBuf};
use std::time::Duration;
use test_harness::envoy::Envoy;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// What costs are compared with.
const UNIT: &str = "jwt_authn with cache, rbac, local_ratelimit";

#[derive(Parser)]
struct Arguments {
    /// Rounds of all chains.
    #[arg(long, default_value_t = 40)]
    rounds: usize,
    /// Requests a round whose token was seen before.
    #[arg(long, default_value_t = 1_500)]
    hot: usize,
    /// Requests a round whose token is new.
    #[arg(long, default_value_t = 100)]
    cold: usize,
    /// Of the chains with a filter, only those whose name has this in it, and the one that all are compared with; `floods`
    /// measures good clients during floods, and nothing else.
    #[arg(long)]
    only: Option<String>,
    /// Another build of the filter, to measure in the same rounds; may be given several times.
    #[arg(long)]
    beside: Vec<PathBuf>,
    /// Measure quotas in Redis too, which has to be installed.
    #[arg(long)]
    engine: bool,
    /// Put tables and chart into docs/bench; with `--only`, just the table of floods.
    #[arg(long)]
    write: bool,
    /// What `cargo bench` says.
    #[arg(long, hide = true)]
    bench: bool,
}

/// One chain in one round: CPU time a request in microseconds, and two latencies.
struct Measured {
    cpu: f64,
    latencies: [Duration; 2],
}

#[tokio::main]
async fn main() {
    let arguments = Arguments::parse();
    let is_floods = arguments.only.as_deref() == Some("floods");
    if !is_floods {
        compare(&arguments).await;
    }
    if arguments.only.is_none() || is_floods {
        show(&arguments, "floods", &floods::table().await);
    }
    if arguments.engine && !is_floods {
        show(&arguments, "engine", &engine::table().await);
    }
}

/// Prints a table, and puts it into the document where that is wanted.
fn show(arguments: &Arguments, name: &str, table: &str) {
    println!("{table}");
    if arguments.write && (arguments.only.is_none() || name == "floods") {
        report::put(&Path::new(ROOT).join("docs/bench/README.md"), name, table);
    }
}

async fn compare(arguments: &Arguments) {
    let is_named = |name: &str| arguments.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    let is_wanted = |rival: &Rival| is_named(&rival.name) || rival.is_beside;
    let size = Size { rounds: arguments.rounds, hot: arguments.hot, cold: arguments.cold };
    let mut rivals = rivals(size, &arguments.beside);
    let rates: Vec<_> = rivals.iter().filter(|rival| is_wanted(rival)).map(|rival| rival.rate).collect();
    rivals.retain(|rival| is_wanted(rival) || rival.name == UNIT || rates.iter().any(|rate| rival.is_nothing(*rate)));
    let envoys: Vec<_> = rivals.iter().map(|rival| rivals::start(&rival.config)).collect();
    let mut rounds: Vec<Vec<Measured>> = rivals.iter().map(|_| Vec::new()).collect();
    for round in 0..arguments.rounds {
        for ((rival, envoy), measured) in rivals.iter().zip(&envoys).zip(&mut rounds) {
            measured.push(measure(rival, envoy, round).await);
        }
        eprintln!("round {} of {}", round + 1, arguments.rounds);
    }
    drop(envoys);
    let rows = rows(&rivals, &rounds);
    let table = report::table(&rows, UNIT);
    show(arguments, "envoy", &table);
    if arguments.write && arguments.only.is_none() {
        report::chart(&rows, &Path::new(ROOT).join("docs/bench/envoy.svg")).unwrap();
    }
}

async fn measure(rival: &Rival, envoy: &Envoy, round: usize) -> Measured {
    let (to, tokens) = (envoy.gateway(), &rival.tokens);
    let from = round * (rival.warm_up + rival.count);
    load::send(to, tokens, from, rival.warm_up, None, rival.status).await;
    let before = cpu::used(envoy.pid());
    let answers = load::send(to, tokens, from + rival.warm_up, rival.count, Some(rival.rate), rival.status).await;
    let used = cpu::used(envoy.pid()) - before;
    let others = answers.others;
    assert!(others.0 <= rival.others, "{}: {} answers such as {}", rival.name, others.0, others.1);
    let cpu = used.as_secs_f64() * 1e6 / rival.count as f64;
    Measured { cpu, latencies: [answers.percentile(50.0), answers.percentile(99.0)] }
}

fn rows(rivals: &[Rival], rounds: &[Vec<Measured>]) -> Vec<Row> {
    let median_of = |nth: usize, of: &dyn Fn(&Measured) -> f64| median(rounds[nth].iter().map(of).collect());
    let latency = |nth, which: usize| {
        Duration::from_secs_f64(median_of(nth, &|measured| measured.latencies[which].as_secs_f64()))
    };
    // Of the chain without a filter what was measured in the same round, at the same rate.
    let over_none = |nth: usize| {
        let nothing = rivals.iter().position(|rival| rival.is_nothing(rivals[nth].rate)).unwrap();
        let differences = rounds[nth].iter().zip(&rounds[nothing]).map(|(this, none)| this.cpu - none.cpu);
        median(differences.collect())
    };
    let row = |(nth, rival): (usize, &Rival)| Row {
        name: rival.name.clone(),
        cpu: median_of(nth, &|measured| measured.cpu),
        over_none: over_none(nth),
        latency_50: latency(nth, 0),
        latency_99: latency(nth, 1),
    };
    rivals.iter().enumerate().map(row).collect()
}
