//! What is told of a request: the audit line and the counts.

use super::request::Request;
use super::{Around, Route};
use crate::denial::{About, Denial};
use crate::policy::{Decision, Outcome};
use crate::quota::WindowState;
use crate::telemetry::{AuditRecord, DecisionWord, Labels, Who};
use crate::worker::Known;
use std::rc::Rc;

/// The word for a preflight in audit and metrics.
const PREFLIGHT: &str = "cors_preflight";

/// What is known of a request so far.
pub(super) struct Report {
    route: Option<Rc<Route>>,
    request: Request,
    known: Option<Rc<Known>>,
    rule: Option<String>,
    reason: &'static str,
    detail: Option<String>,
    granted_by: Option<String>,
    shadow: bool,
    quota: Vec<WindowState>,
}
