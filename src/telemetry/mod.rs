//! What operators see: metrics by entity and group, and one audit line a decision.

mod audit;
mod histogram;
mod metrics;
mod series;

pub use audit::{AuditRecord, Quota, Verdict, What, Who, rfc3339, sampled};
pub use metrics::{LABELS, Telemetry};
