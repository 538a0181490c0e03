//! Ordered rules: who may do what.

use super::ClaimName;
use crate::entity::EntityRef;
use crate::path::PathPattern;

/// Whether a verdict is carried out or only recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Carried out.
    Enforce,
    /// Decided and recorded, but the request passes.
    Shadow,
}

/// What a caller is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PrincipalKind {
    /// A person.
    User,
    /// A program on its own account.
    Service,
    /// A program on a user's behalf.
    Agent,
}

impl PrincipalKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::User, Self::Service, Self::Agent];

    /// The word for it in configuration, audit and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Service => "service",
            Self::Agent => "agent",
        }
    }
}

/// What agents may do on a route, before any rule is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentAccess {
    /// Nothing.
    Deny,
    /// Safe methods only: GET, HEAD, OPTIONS (RFC 9110 §9.2.1).
    ReadOnly,
    /// What the rules allow.
    Allow,
}

/// A request method, upper-case.
pub type Method = String;

/// Ordered rules; the first that matches decides, none denies.
#[derive(Debug)]
pub struct Policy {
    /// Whether verdicts are carried out.
    pub mode: Mode,
    /// What agents may do.
    pub agents: AgentAccess,
    /// The rules.
    pub rules: Vec<Rule>,
}

/// One rule.
#[derive(Debug)]
pub struct Rule {
    /// Its name in audit lines; `rule-<index>` unless configured.
    pub name: String,
    /// Methods it is about; empty for all.
    pub methods: Vec<Method>,
    /// Paths it is about; empty for all.
    pub paths: Vec<PathPattern>,
    /// Kinds of principal it is about; empty for all, callers without a token included.
    pub principals: Vec<PrincipalKind>,
    /// Whom it lets pass; empty denies.
    pub allow: Vec<Allow>,
}

/// Whom a rule lets pass.
#[derive(Debug, Clone, PartialEq)]
pub enum Allow {
    /// Everyone, without a token too.
    Anyone,
    /// Everyone with a valid token.
    Authenticated,
    /// The owner of the entity, or a member of the owning group.
    Owner,
    /// The consumers of the entity, or members of consuming groups.
    Consumer,
    /// A group or a user.
    Entity(EntityRef),
    /// Tokens whose claims all equal these values, or hold them where they are arrays.
    Claims(Vec<(ClaimName, serde_json::Value)>),
}
