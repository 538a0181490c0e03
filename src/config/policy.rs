//! Ordered rules: who may do what.

use super::{ClaimName, Problem};
use crate::entity::{DEFAULT_NAMESPACE, EntityRef};
use crate::path::PathPattern;
use std::rc::Rc;

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

/// What agents may do on a route, before any rule is asked; the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AgentAccess {
    /// Nothing.
    Deny,
    /// Safe methods only: GET, HEAD, OPTIONS (RFC 9110 §9.2.1).
    ReadOnly,
    /// What the rules allow.
    Allow,
}

impl AgentAccess {
    /// The word for it in configuration and annotations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::ReadOnly => "read_only",
            Self::Allow => "allow",
        }
    }

    /// What a word in configuration and annotations means.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "deny" => Some(Self::Deny),
            "read_only" => Some(Self::ReadOnly),
            "allow" => Some(Self::Allow),
            _ => None,
        }
    }
}

/// What becomes of a path that some server reads with a `..` segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traversal {
    /// It is refused, whatever the rules say.
    Refuse,
    /// It is as good as any other, where no rule asks for the path.
    Pass,
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
    /// Whether the upstream tells letter cases of paths apart. Where it may not, a path that is a rule's in other letter case is
    /// ambiguous.
    pub case_sensitive: bool,
    /// What becomes of a path that may climb out of the route.
    pub traversal: Traversal,
    /// The rules.
    pub rules: Vec<Rule>,
}

impl Policy {
    /// Whether what a request may do depends on its method.
    pub fn depends_on_method(&self) -> bool {
        let by_rule = |rule: &Rule| !rule.methods.is_empty() || rule.allow.contains(&Allow::Catalog);
        self.agents == AgentAccess::ReadOnly || self.rules.iter().any(by_rule)
    }
}

/// One rule.
#[derive(Debug)]
pub struct Rule {
    /// Its name in audit lines; `rule-<index>` unless configured.
    pub name: Rc<str>,
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
    /// Whom the entity's annotations in the catalog let pass.
    Catalog,
    /// A group or a user.
    Entity(EntityRef),
    /// Tokens whose claims all equal these values, or hold them where they are arrays.
    Claims(Vec<(ClaimName, serde_json::Value)>),
}

impl Allow {
    /// The words that stand for callers.
    pub const WORDS: [&str; 4] = ["anyone", "authenticated", "owner", "consumer"];

    /// Parses a word, or the reference of a group or a user.
    ///
    /// # Errors
    /// What is wrong with it, and what it may be.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        match text {
            "anyone" => Ok(Self::Anyone),
            "authenticated" => Ok(Self::Authenticated),
            "owner" => Ok(Self::Owner),
            "consumer" => Ok(Self::Consumer),
            text => {
                let not_allowed = || Problem::NotAllowed {
                    found: text.to_owned(),
                    allowed: format!("{}, or a group or user such as group:default/payments", Self::WORDS.join(", ")),
                };
                let (kind, _) = text.split_once(':').ok_or_else(not_allowed)?;
                if !matches!(kind.to_ascii_lowercase().as_str(), "group" | "user") {
                    return Err(not_allowed());
                }
                EntityRef::parse(text, None, DEFAULT_NAMESPACE)
                    .map(Self::Entity)
                    .map_err(|error| Problem::Entity { found: text.to_owned(), error })
            }
        }
    }
}
