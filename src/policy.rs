//! Rules → decision.

use crate::entity::EntityRef;

/// What the rules say of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Allowed, or why not.
    pub outcome: Outcome,
    /// Name of the rule that decided; `None` when none matched or none was asked.
    pub rule: Option<String>,
}

/// Allowed, or why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Allowed.
    Allowed {
        /// What let it pass.
        reason: AllowReason,
        /// The group or user whose ownership let it pass.
        granted_by: Option<EntityRef>,
    },
    /// Denied.
    Denied(PolicyDenial),
}

/// What let a request pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AllowReason {
    /// The rule lets everyone pass.
    Anyone,
    /// The rule lets every valid token pass.
    Authenticated,
    /// The caller owns the entity.
    Owner,
    /// The caller consumes the entity.
    Consumer,
    /// The rule names a group or user of the caller's.
    Entity,
    /// The token's claims are those the rule names.
    Claims,
}

/// Why the rules deny.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PolicyDenial {
    /// A token is needed and none was sent.
    CredentialsRequired,
    /// No rule matches the request.
    NoRule,
    /// The rule that matches does not name the caller.
    NotAllowed,
    /// The rule asks for groups and the token's are not known.
    GroupsUnknown,
    /// Agents may not call this route.
    AgentDenied,
    /// Agents may only read here.
    AgentReadOnly,
    /// A rule asks for the path and the path can be read in more than one way.
    AmbiguousPath,
}
