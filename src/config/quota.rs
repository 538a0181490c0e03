//! Quotas: how much a group, user, client or entity may use in a window.

use super::Mode;
use crate::entity::EntityRef;
use std::collections::BTreeMap;
use std::time::Duration;

/// All quotas of a route; a request is charged to all of them or to none.
#[derive(Debug)]
pub struct Quotas {
    /// Whether an exhausted quota denies.
    pub mode: Mode,
    /// What happens when shared data fails.
    pub on_store_error: StoreFault,
    /// Whether answers carry `X-RateLimit-*` besides the IETF fields.
    pub x_ratelimit_headers: bool,
    /// The policies.
    pub policies: Vec<QuotaPolicy>,
}

/// What happens when the store of counts fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreFault {
    /// The request is refused with 503.
    Deny,
    /// The request passes uncharged.
    Allow,
}

/// Whose use a policy counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Per {
    /// The group whose ownership granted access; where none did, the caller itself.
    Group,
    /// The user, or the service.
    User,
    /// The OAuth client.
    Client,
    /// All callers of the entity together.
    Entity,
}

impl Per {
    /// The word for it in configuration and keys.
    pub fn name(self) -> &'static str {
        match self {
            Self::Group => "group",
            Self::User => "user",
            Self::Client => "client",
            Self::Entity => "entity",
        }
    }
}

/// One quota policy.
#[derive(Debug)]
pub struct QuotaPolicy {
    /// Its name in `RateLimit-Policy` (a structured-fields string: printable ASCII) and in keys.
    pub name: String,
    /// Whose use it counts.
    pub per: Per,
    /// Its windows, at least one, at most eight; all must have room.
    pub windows: Vec<Window>,
    /// Windows for named groups or users in place of the policy's own.
    pub overrides: BTreeMap<EntityRef, Vec<Window>>,
    /// Cost by upper-case method; 1 for the others.
    pub cost: BTreeMap<String, u32>,
}

/// A limit over a span of time, such as `600/1m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// Units per window; at least 1.
    pub limit: u32,
    /// Length; whole seconds, at least 1 s, at most 31 days.
    pub length: Duration,
}
