//! A provider's name → a name in the catalog.

use crate::config::{NameTransform, UserMapping};
use crate::entity::EntityRef;

/// The `user:` ref of a user claim; `None` where the claim makes no valid name.
pub fn map_user(mapping: &UserMapping, claim: &str) -> Option<EntityRef> {
    if mapping.entity_refs
        && let Ok(entity) = EntityRef::parse_full(claim)
    {
        return (entity.kind() == "user").then_some(entity);
    }
    EntityRef::new("user", &mapping.namespace, &transform(mapping.transform, claim)).ok()
}

/// Applies a name transform. The result is not yet known to be a valid name.
pub(super) fn transform(transform: NameTransform, text: &str) -> String {
    match transform {
        NameTransform::Identity => text.to_owned(),
        NameTransform::EmailLocalPart => text.rsplit_once('@').map_or(text, |(local, _)| local).to_owned(),
        NameTransform::KebabCase => kebab_case(text),
        NameTransform::LastPathSegment => text.rsplit('/').next().unwrap_or_default().to_owned(),
        NameTransform::TopLevelPath => {
            text.strip_prefix('/').filter(|name| !name.contains('/')).unwrap_or_default().to_owned()
        }
        NameTransform::MsGraph => msgraph(text),
    }
}

/// Words in lower case with hyphens between them, as Backstage's Okta provider writes names: a word ends at whatever is
/// no letter or digit, before an upper-case letter that follows a lower-case one or a digit, and before the last of several
/// upper-case letters when a lower-case one follows (`HTTPServer` → `http-server`).
fn kebab_case(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut name = String::with_capacity(text.len() + 4);
    for (index, &c) in chars.iter().enumerate() {
        if !c.is_alphanumeric() {
            continue;
        }
        let before = index.checked_sub(1).and_then(|i| chars.get(i)).copied().unwrap_or(' ');
        let after = chars.get(index + 1).copied().unwrap_or(' ');
        let starts_word =
            !before.is_alphanumeric() || (c.is_uppercase() && (!before.is_uppercase() || after.is_lowercase()));
        if starts_word && !name.is_empty() {
            name.push('-');
        }
        name.extend(c.to_lowercase());
    }
    name
}

/// What Backstage's Microsoft Graph provider makes of a display name: trimmed, lower case, every character that a name may
/// not have an underscore, runs of them one, none at the ends.
fn msgraph(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for c in text.trim().to_lowercase().chars() {
        let c = if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') { c } else { '_' };
        if c != '_' || !name.ends_with('_') {
            name.push(c);
        }
    }
    name.trim_matches('_').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transforms_write_names_as_the_directories_do() {
        use NameTransform::{EmailLocalPart, Identity, KebabCase, LastPathSegment, MsGraph, TopLevelPath};
        let cases = [
            (Identity, "payments", "payments"),
            (KebabCase, "Payments Team", "payments-team"),
            (KebabCase, "paymentsTeam2", "payments-team2"),
            (KebabCase, "  HTTPServer__Admins ", "http-server-admins"),
            (KebabCase, "a/b", "a-b"),
            (LastPathSegment, "/org/payments", "payments"),
            (LastPathSegment, "payments", "payments"),
            (LastPathSegment, "/org/", ""),
            (TopLevelPath, "/payments", "payments"),
            (TopLevelPath, "/contractors/payments", ""),
            (TopLevelPath, "/payments/", ""),
            (TopLevelPath, "//payments", ""),
            (TopLevelPath, "payments", ""),
            (TopLevelPath, "/", ""),
            (EmailLocalPart, "ada@example.com", "ada"),
            (EmailLocalPart, "ada", "ada"),
            (MsGraph, "Payments Team (EU)", "payments_team_eu"),
            (MsGraph, " R&D ", "r_d"),
        ];
        for (how, text, name) in cases {
            assert_eq!(transform(how, text), name, "{text}");
        }
    }

    #[test]
    fn what_is_said_to_become_one_name_does() {
        use NameTransform::{EmailLocalPart, Identity, KebabCase, LastPathSegment, MsGraph, TopLevelPath};
        for how in [EmailLocalPart, Identity, KebabCase, LastPathSegment, MsGraph, TopLevelPath] {
            if let Some((one, other)) = how.merges() {
                assert!(!one.eq_ignore_ascii_case(other));
                assert_eq!(transform(how, one), transform(how, other), "{how:?}");
            }
        }
    }

    #[test]
    fn a_user_claim_chooses_kind_and_namespace_only_where_configured() {
        let mapping =
            |entity_refs| UserMapping { namespace: "people".into(), transform: NameTransform::Identity, entity_refs };
        let map = |entity_refs, claim| map_user(&mapping(entity_refs), claim).map(|user| user.to_string());
        assert_eq!(map(false, "Ada").as_deref(), Some("user:people/ada"));
        assert_eq!(map(true, "User:Default/Ada").as_deref(), Some("user:default/ada"));
        assert_eq!(map(true, "ada").as_deref(), Some("user:people/ada"));
        for claim in ["user:default/ada", "ada@example.com", "a/b", "", "auth0|1"] {
            assert_eq!(map(false, claim), None, "{claim}");
        }
        assert_eq!(map(true, "group:default/admins"), None);
    }
}
