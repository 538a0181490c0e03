//! The caller, as the catalog knows it.

use super::claims::Claims;
use crate::config::PrincipalKind;
use crate::entity::EntityRef;
use crate::host::UnixMillis;

/// Who calls, from a verified token.
#[derive(Debug, Clone, PartialEq)]
pub struct Principal {
    /// User, service or agent.
    pub kind: PrincipalKind,
    /// The user: the caller itself, or on whose behalf an agent acts. `None` for services.
    pub user: Option<EntityRef>,
    /// `sub` as the provider wrote it; any characters.
    pub subject: String,
    /// The agent as the provider wrote it; any characters. Present only for agents.
    pub agent: Option<String>,
    /// The OAuth client as the provider wrote it; any characters.
    pub client: Option<String>,
    /// The groups whose ownership the caller has.
    pub groups: Groups,
    /// The exact `iss`.
    pub issuer: String,
    /// `jti`, for the audit trail.
    pub token_id: Option<String>,
    /// When the token ends, leeway included.
    pub expires: UnixMillis,
    /// All claims, for rules that ask for them.
    pub claims: Claims,
}

/// The groups of a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Groups {
    /// These, sorted and without repeats.
    Known(Vec<EntityRef>),
    /// The token does not say; never to be taken for "none".
    Unknown(GroupsUnknown),
}

/// Why the groups of a caller are not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupsUnknown {
    /// The provider left the list out because it was too long (`_claim_names`, `hasgroups`).
    Overflow,
    /// The claim is of a type that holds no names.
    Malformed,
    /// The list is longer than this filter reads.
    TooMany,
    /// The issuer was asked and did not tell; it will be asked again in a moment.
    Unavailable,
}

impl Principal {
    /// The groups, none where they are unknown.
    pub fn known_groups(&self) -> &[EntityRef] {
        match &self.groups {
            Groups::Known(groups) => groups,
            Groups::Unknown(_) => &[],
        }
    }

    /// Whether `entity` is the caller's user or one of its known groups.
    pub fn is_or_belongs_to(&self, entity: &EntityRef) -> bool {
        self.user.as_ref() == Some(entity) || self.known_groups().binary_search(entity).is_ok()
    }
}
