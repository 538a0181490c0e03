//! What was found out about a request, for tools that explain a decision.

use crate::denial::Denial;
use crate::entity::EntityRef;
use crate::ownership::Callee;
use crate::quota::WindowState;
use crate::worker::CachedPrincipal;

/// What was found out about a request.
#[derive(Clone, Copy)]
pub struct Findings<'a> {
    /// The entity that it is about, where that is known.
    pub callee: Option<&'a Callee>,
    /// The caller, where a token held, and the key that verified it.
    pub known: Option<&'a CachedPrincipal>,
    /// Name of the rule that decided.
    pub rule: Option<&'a str>,
    /// The group or user whose ownership let it pass.
    pub granted_by: Option<&'a EntityRef>,
    /// Why it was denied, or would have been outside shadow mode.
    pub denial: Option<&'a Denial>,
    /// What let it pass, in a word; empty where a rule did not.
    pub reason: &'static str,
    /// The windows that it was charged to, or found full.
    pub quota: &'a [WindowState],
}
