//! Group claims → `group:` refs.

use super::names::transform as apply;
use crate::catalog::Index;
use crate::config::{ClaimName, GroupMapping};
use crate::entity::EntityRef;
use crate::identity::claims::{Claims, Names};
use crate::identity::{Groups, GroupsUnknown};
use serde_json::Value;
use std::rc::Rc;

/// Most groups that are read of one token.
const MAX_GROUPS: usize = 1000;

/// The values of a group claim, kept to be mapped again when the catalog's groups change; or why they are not known.
pub type GroupNames = Result<Rc<[Box<str>]>, GroupsUnknown>;

/// The groups of a token.
///
/// A value is looked up in the table first; then, where the configuration lets tokens speak in entity refs, taken as one if it
/// is a full ref of a group or user; then looked up among the annotations of the catalog's groups, where the configuration
/// names one, or else put through the name transform. A value that makes no valid ref is dropped: it names no group that the
/// catalog could have.
pub fn map_groups(mapping: &GroupMapping, claims: &Claims, claim: &ClaimName, catalog: Option<&Index>) -> Groups {
    match group_names(mapping, claims, claim) {
        Ok(names) => map_each(mapping, names, catalog),
        Err(why) => Groups::Unknown(why),
    }
}

/// The groups that values of a group claim come to, which were kept.
pub fn map_names(mapping: &GroupMapping, names: &GroupNames, catalog: Option<&Index>) -> Groups {
    match names {
        Ok(names) => map_each(mapping, names.iter().map(AsRef::as_ref).collect(), catalog),
        Err(why) => Groups::Unknown(*why),
    }
}

fn map_each(mapping: &GroupMapping, names: Vec<&str>, catalog: Option<&Index>) -> Groups {
    let mut groups = Vec::with_capacity(names.len());
    for name in names {
        match map_group(mapping, name, catalog) {
            Ok(mapped) => groups.extend(mapped.into_group()),
            Err(CatalogNeeded) => return Groups::Unknown(GroupsUnknown::Unavailable),
        }
    }
    if let Some(catalog) = catalog.filter(|_| mapping.parents) {
        catalog.add_ancestors(&mut groups);
    }
    groups.sort_unstable();
    groups.dedup();
    Groups::Known(groups)
}

/// The values of a group claim; none where it is not there.
///
/// # Errors
/// Why they are not known.
pub fn group_names<'a>(
    mapping: &GroupMapping,
    claims: &'a Claims,
    claim: &ClaimName,
) -> Result<Vec<&'a str>, GroupsUnknown> {
    let names = match if mapping.splits_text { claims.words(claim) } else { claims.names(claim) } {
        Names::Absent if is_overflow(claims, claim) => return Err(GroupsUnknown::Overflow),
        Names::Absent => return Ok(Vec::new()),
        Names::Malformed => return Err(GroupsUnknown::Malformed),
        Names::List(names) if names.len() > MAX_GROUPS => return Err(GroupsUnknown::TooMany),
        Names::List(names) if mapping.limit.is_some_and(|limit| names.len() >= limit) => {
            return Err(GroupsUnknown::Overflow);
        }
        Names::List(names) => names,
    };
    if is_overflow(claims, claim) { Err(GroupsUnknown::Overflow) } else { Ok(names) }
}

/// What a value of a group claim comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mapped {
    /// This group, by the table.
    Table(EntityRef),
    /// This group or user, for the value is its full reference.
    Ref(EntityRef),
    /// This group, by an annotation in the catalog.
    Annotation(EntityRef),
    /// This group, by the name transform.
    Transform(EntityRef),
    /// Nothing: the value is the full reference of what is neither group nor user.
    OtherKind,
    /// Nothing: no group of the catalog, or more than one, has the value for its annotation.
    NotInCatalog,
    /// Nothing: the table does not have it and no transform is configured.
    NotInTable,
    /// Nothing: what the transform makes of it is no name.
    NoName,
}

impl Mapped {
    /// The group, where it comes to one.
    pub fn into_group(self) -> Option<EntityRef> {
        match self {
            Self::Table(group) | Self::Ref(group) | Self::Annotation(group) | Self::Transform(group) => Some(group),
            Self::OtherKind | Self::NotInCatalog | Self::NotInTable | Self::NoName => None,
        }
    }
}

/// A name means a group by the catalog, and the catalog is not to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CatalogNeeded;

/// Maps one value of a group claim.
///
/// # Errors
/// [`CatalogNeeded`] where it has to be looked up in a catalog that is not there.
pub fn map_group(mapping: &GroupMapping, name: &str, catalog: Option<&Index>) -> Result<Mapped, CatalogNeeded> {
    if let Some(group) = mapping.table.get(name) {
        return Ok(Mapped::Table(group.clone()));
    }
    if mapping.entity_refs
        && let Ok(entity) = EntityRef::parse_full(name)
    {
        return Ok(if matches!(entity.kind(), "group" | "user") { Mapped::Ref(entity) } else { Mapped::OtherKind });
    }
    if let Some(annotation) = &mapping.annotation {
        let group = catalog.ok_or(CatalogNeeded)?.group_by(annotation, name);
        return Ok(group.map_or(Mapped::NotInCatalog, Mapped::Annotation));
    }
    let Some(transform) = mapping.transform else { return Ok(Mapped::NotInTable) };
    Ok(EntityRef::new("group", &mapping.namespace, &apply(transform, name)).map_or(Mapped::NoName, Mapped::Transform))
}

/// Entra ID leaves a list of more than 200 groups out and says so: `hasgroups: true` in the implicit flow, otherwise a member
/// of `_claim_names` (OpenID Connect Core §5.6.2).
fn is_overflow(claims: &Claims, claim: &ClaimName) -> bool {
    let marker = |name: &str| claims.get(&ClaimName(name.to_owned()));
    let distributed = match marker("_claim_names") {
        Some(Value::Object(members)) => members.contains_key(&claim.0),
        Some(_) => true,
        None => false,
    };
    distributed || matches!(marker("hasgroups"), Some(Value::Bool(true)) | Some(Value::String(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NameTransform;
    use serde_json::json;

    fn mapping(entity_refs: bool, transform: Option<NameTransform>) -> GroupMapping {
        let payments = EntityRef::parse_full("group:default/payments").unwrap();
        GroupMapping {
            table: [("0f-guid".to_owned(), payments)].into(),
            transform,
            namespace: "default".into(),
            entity_refs,
            limit: None,
            splits_text: false,
            annotation: None,
            parents: false,
        }
    }

    fn map(mapping: &GroupMapping, claim: &str, claims: &Value) -> Groups {
        map_groups(mapping, &Claims::parse(claims.to_string().as_bytes()).unwrap(), &ClaimName(claim.into()), None)
    }

    fn known(groups: &[&str]) -> Groups {
        Groups::Known(groups.iter().map(|group| EntityRef::parse_full(group).unwrap()).collect())
    }

    #[test]
    fn groups_are_found_wherever_providers_put_them() {
        let identity = mapping(false, Some(NameTransform::Identity));
        let cases = [
            ("groups", json!({"groups": ["b", "a", "b"]}), known(&["group:default/a", "group:default/b"])),
            ("groups", json!({"groups": "a b"}), known(&[])),
            ("groups", json!({"groups": "not payments"}), known(&[])),
            ("groups", json!({"groups": ["not payments"]}), known(&[])),
            ("groups", json!({"groups": ""}), known(&[])),
            ("scope", json!({"scope": "a b"}), known(&["group:default/a", "group:default/b"])),
            ("scp", json!({"scp": "a  b "}), known(&["group:default/a", "group:default/b"])),
            ("/nested/scope", json!({"nested": {"scope": "a b"}}), known(&[])),
            ("groups", json!({"groups": "a"}), known(&["group:default/a"])),
            ("https://acme.example/groups", json!({"https://acme.example/groups": ["a"]}), known(&["group:default/a"])),
            ("cognito:groups", json!({"cognito:groups": ["a"]}), known(&["group:default/a"])),
            ("/realm_access/roles", json!({"realm_access": {"roles": ["a"]}}), known(&["group:default/a"])),
            ("groups", json!({"groups": ["0f-guid", "not a name"]}), known(&["group:default/payments"])),
            ("groups", json!({}), known(&[])),
            ("groups", json!({"groups": []}), known(&[])),
        ];
        for (claim, claims, groups) in cases {
            assert_eq!(map(&identity, claim, &claims), groups, "{claims}");
        }
    }

    #[test]
    fn a_text_is_several_groups_only_where_the_configuration_says_so() {
        let identity = mapping(false, Some(NameTransform::Identity));
        let splitting = GroupMapping { splits_text: true, ..identity.clone() };
        let claims = json!({"groups": "b  a "});
        assert_eq!(map(&identity, "groups", &claims), known(&[]));
        assert_eq!(map(&splitting, "groups", &claims), known(&["group:default/a", "group:default/b"]));
        assert_eq!(map(&splitting, "groups", &json!({"groups": ["b a", "c"]})), known(&["group:default/c"]));
    }

    #[test]
    fn two_values_that_a_transform_makes_one_name_of_are_one_group() {
        let last = mapping(false, Some(NameTransform::LastPathSegment));
        let both = json!({"groups": ["/staff/payments", "/contractors/payments"]});
        assert_eq!(map(&last, "groups", &both), known(&["group:default/payments"]));
    }

    #[test]
    fn a_list_that_was_cut_is_unknown_and_never_empty() {
        let identity = mapping(false, Some(NameTransform::Identity));
        let many: Vec<_> = (0..=MAX_GROUPS).map(|n| format!("g{n}")).collect();
        let cases = [
            (json!({"_claim_names": {"groups": "src1"}}), GroupsUnknown::Overflow),
            (json!({"hasgroups": true}), GroupsUnknown::Overflow),
            (json!({"hasgroups": true, "groups": ["a"]}), GroupsUnknown::Overflow),
            (json!({"groups": 7}), GroupsUnknown::Malformed),
            (json!({"groups": ["a", 7]}), GroupsUnknown::Malformed),
            (json!({"groups": many}), GroupsUnknown::TooMany),
        ];
        for (claims, why) in cases {
            assert_eq!(map(&identity, "groups", &claims), Groups::Unknown(why), "{claims}");
        }
        assert_eq!(map(&identity, "groups", &json!({"_claim_names": {"roles": "src1"}})), known(&[]));
    }

    #[test]
    fn a_list_as_long_as_the_provider_cuts_it_is_unknown() {
        let limited = GroupMapping { limit: Some(3), ..mapping(false, Some(NameTransform::Identity)) };
        assert_eq!(
            map(&limited, "groups", &json!({"groups": ["a", "b"]})),
            known(&["group:default/a", "group:default/b"])
        );
        let cut = map(&limited, "groups", &json!({"groups": ["a", "b", "c"]}));
        assert_eq!(cut, Groups::Unknown(GroupsUnknown::Overflow));
    }

    #[test]
    fn each_value_says_what_it_came_to() {
        let group = |name: &str| EntityRef::parse_full(name).unwrap();
        let identity = mapping(true, Some(NameTransform::Identity));
        let by_annotation = GroupMapping { annotation: Some("keycloak.org/id".into()), ..mapping(false, None) };
        let cases = [
            (&identity, "0f-guid", Ok(Mapped::Table(group("group:default/payments")))),
            (&identity, "user:default/ada", Ok(Mapped::Ref(group("user:default/ada")))),
            (&identity, "api:default/x", Ok(Mapped::OtherKind)),
            (&identity, "search", Ok(Mapped::Transform(group("group:default/search")))),
            (&identity, "no name", Ok(Mapped::NoName)),
            (&mapping(false, None), "search", Ok(Mapped::NotInTable)),
            (&by_annotation, "0f-guid", Ok(Mapped::Table(group("group:default/payments")))),
            (&by_annotation, "other-guid", Err(CatalogNeeded)),
        ];
        for (mapping, name, mapped) in cases {
            assert_eq!(map_group(mapping, name, None), mapped, "{name}");
        }
    }

    #[test]
    fn a_provider_chooses_kind_and_namespace_only_where_configured() {
        let claims = json!({"groups": ["group:secret/admins", "api:default/x"]});
        assert_eq!(map(&mapping(false, Some(NameTransform::Identity)), "groups", &claims), known(&[]));
        assert_eq!(
            map(&mapping(true, Some(NameTransform::Identity)), "groups", &claims),
            known(&["group:secret/admins"])
        );
        assert_eq!(
            map(&mapping(false, None), "groups", &json!({"groups": ["payments", "0f-guid"]})),
            known(&["group:default/payments"])
        );
    }
}
