//! What operators see: metrics by entity and group, and one audit line a decision.

mod audit;
mod histogram;
mod lot;
mod metrics;
mod name;
mod series;

pub use audit::{AnswerRecord, AuditRecord, Quota, Verdict, What, Who, rfc3339};
pub use lot::Lot;
pub use metrics::{LABELS, Telemetry};
