//! Scenarios: one table of requests and expected answers for any gateway in front of the development peers.

mod expect;
mod run;
mod table;

pub use expect::{Condition, Expected, Statuses};
pub use run::{Outcome, Target, Witness};
pub use table::{Group, OnKong, OneOrMany, Provider, RequestSpec, Scenario, Step, TableError, parse};

/// The table this crate comes with.
pub const TABLE: &str = include_str!("../../../scenarios.yaml");

/// The closing line of a run.
pub fn closing_line(outcomes: &[Outcome]) -> String {
    let passed = outcomes.iter().filter(|outcome| outcome.passed()).count();
    format!("scenarios: {passed} passed, {} failed", outcomes.len() - passed)
}

#[cfg(test)]
mod tests;
