//! What annotations say to a gateway.

use super::Entity;
use crate::config::{AgentAccess, Allow, Problem};
use crate::entity::EntityRef;
use std::fmt;

/// The Kong service that an entity is behind.
pub const SERVICE: &str = "backstage-kong/service";
/// The same, as an existing Backstage plugin for Kong names it.
pub const KONG_SERVICE: &str = "kong-manager/service-name";
/// Who may call: words of a rule's `allow`, with commas between them.
pub const ACCESS: &str = "backstage-kong/access";
/// Who may call with other methods than GET, HEAD and OPTIONS; as [`ACCESS`] where only that is there.
pub const WRITE_ACCESS: &str = "backstage-kong/write-access";
/// The consumers that the owner of an API agrees to: groups and users, written in full, with commas between them. They count
/// with [`Consumers::Approved`](crate::config::Consumers::Approved).
pub const APPROVED_CONSUMERS: &str = "backstage-kong/approved-consumers";
/// What agents may do, at most: `deny`, `read_only` or `allow`.
pub const AGENTS: &str = "backstage-kong/agents";
/// The tier of quotas: of an API for all its callers, of a group for what it calls.
pub const QUOTA_TIER: &str = "backstage-kong/quota-tier";

/// Longest name of a tier.
const MAX_TIER: usize = 32;

/// The terms on which an entity may be called, by its annotations.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Terms {
    /// Who may call, with any method; without it, the owner, and for reading the consumers too.
    pub access: Option<Vec<Allow>>,
    /// Who may call with a method that is not safe; it goes before `access`.
    pub write_access: Option<Vec<Allow>>,
    /// What agents may do; it only ever narrows what the route allows.
    pub agents: Option<AgentAccess>,
    /// The tier of quotas.
    pub quota_tier: Option<String>,
}

/// An annotation that says nothing that a gateway could go by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnnotationError {
    /// Its name.
    pub annotation: &'static str,
    /// What is wrong with it.
    pub problem: Problem,
}

impl fmt::Display for AnnotationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "annotation {} {}", self.annotation, self.problem)
    }
}

impl std::error::Error for AnnotationError {}

impl Terms {
    /// The terms of an entity.
    ///
    /// # Errors
    /// The first annotation that cannot be gone by.
    pub fn of(entity: &Entity) -> Result<Self, AnnotationError> {
        Self::parse(|name| entity.annotation(name))
    }

    /// The terms that annotations say.
    ///
    /// # Errors
    /// The first annotation that cannot be gone by.
    pub fn parse<'a>(annotation: impl Fn(&'static str) -> Option<&'a str>) -> Result<Self, AnnotationError> {
        let allowed = |name| annotation(name).map(|text| allows(name, text)).transpose();
        Ok(Self {
            access: allowed(ACCESS)?,
            write_access: allowed(WRITE_ACCESS)?,
            agents: annotation(AGENTS).map(agents).transpose()?,
            quota_tier: annotation(QUOTA_TIER).map(tier).transpose()?,
        })
    }

    /// The terms of an entity whose annotations cannot be gone by: nobody may call.
    pub fn closed() -> Self {
        let (access, agents) = (Some(Vec::new()), Some(AgentAccess::Deny));
        Self { access, write_access: None, agents, quota_tier: None }
    }

    /// Who may call with a method. Anybody can say of a component that it consumes an API, so that alone lets nobody write.
    pub fn allow(&self, method: &str) -> &[Allow] {
        const READ: &[Allow] = &[Allow::Owner, Allow::Consumer];
        const WRITE: &[Allow] = &[Allow::Owner];
        let is_safe = matches!(method, "GET" | "HEAD" | "OPTIONS");
        let (own, usual) = if is_safe { (None, READ) } else { (self.write_access.as_deref(), WRITE) };
        own.or(self.access.as_deref()).unwrap_or(usual)
    }
}

fn allows(annotation: &'static str, text: &str) -> Result<Vec<Allow>, AnnotationError> {
    let words = text.split(',').map(str::trim);
    words.map(|word| Allow::parse(word).map_err(|problem| AnnotationError { annotation, problem })).collect()
}

/// The groups and users that [`APPROVED_CONSUMERS`] lists. What a namespace is left out of could mean the API's own or the
/// default one, so it is refused.
///
/// # Errors
/// The first of them that is none.
pub fn approved_consumers(text: &str) -> Result<Vec<EntityRef>, AnnotationError> {
    let not_allowed = |found| {
        not_allowed(APPROVED_CONSUMERS, found, "groups and users in full, such as group:default/checkout, with commas")
    };
    let listed = text.split(',').map(str::trim).map(|found| {
        let entity = EntityRef::parse_full(found).ok();
        entity.filter(|entity| matches!(entity.kind(), "group" | "user")).ok_or_else(|| not_allowed(found))
    });
    listed.collect()
}

fn agents(text: &str) -> Result<AgentAccess, AnnotationError> {
    AgentAccess::from_name(text).ok_or_else(|| not_allowed(AGENTS, text, "deny, read_only or allow"))
}

fn tier(text: &str) -> Result<String, AnnotationError> {
    let valid = text.len() <= MAX_TIER && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    let allowed = "1 to 32 letters, digits, '-', '_' and '.'";
    if valid { Ok(text.to_owned()) } else { Err(not_allowed(QUOTA_TIER, text, allowed)) }
}

fn not_allowed(annotation: &'static str, found: &str, allowed: &str) -> AnnotationError {
    let problem = Problem::NotAllowed { found: found.to_owned(), allowed: allowed.to_owned() };
    AnnotationError { annotation, problem }
}
