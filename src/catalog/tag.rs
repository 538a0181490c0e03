//! A Kong route or service that names its entity by a tag.

use crate::entity::{DEFAULT_NAMESPACE, EntityRef};

/// What such a tag begins with.
pub const TAG_PREFIX: &str = "backstage-entity:";

/// The entity that a tag names: `backstage-entity:api:payments`, or `backstage-entity:api:finance:payments` with a
/// namespace. Kong allows no `/` in tags (its `typedefs.tag`), so a colon stands in its place.
pub fn entity_of_tag(tag: &str) -> Option<EntityRef> {
    let (kind, rest) = tag.strip_prefix(TAG_PREFIX)?.split_once(':')?;
    let (namespace, name) = rest.split_once(':').unwrap_or((DEFAULT_NAMESPACE, rest));
    EntityRef::new(kind, namespace, name).ok()
}

/// The tag that names an entity.
pub fn tag_of_entity(entity: &EntityRef) -> String {
    format!("{TAG_PREFIX}{}:{}:{}", entity.kind(), entity.namespace(), entity.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_names_an_entity_without_a_slash() {
        let entity = EntityRef::parse_full("api:finance/payments").unwrap();
        assert_eq!(entity_of_tag(&tag_of_entity(&entity)), Some(entity.clone()));
        assert!(!tag_of_entity(&entity).contains(['/', ',']), "Kong refuses them");
        let cases = [
            ("backstage-entity:API:Payments", Some("api:default/payments")),
            ("backstage-entity:payments", None),
            ("backstage-entity:api:a:b:c", None),
            ("backstage-entity:api:", None),
            ("team:payments", None),
        ];
        for (tag, entity) in cases {
            assert_eq!(entity_of_tag(tag).as_ref().map(EntityRef::as_str), entity, "{tag}");
        }
    }
}
