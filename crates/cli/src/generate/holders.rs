//! Which entity holds which service, by the file that is written: what was generated before, and what somebody wrote there.

use crate::kong::MANAGED;
use crate::yaml::{self, Node};
use backstage_kong::catalog::entity_of_tag;
use backstage_kong::entity::EntityRef;
use std::collections::BTreeMap;

/// Whose services are.
#[derive(Debug, Default)]
pub(super) struct Holders(BTreeMap<String, Holder>);

/// Whose a service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Holder {
    /// By what was generated: an entity that claims the service no more holds it no more.
    Generated(EntityRef),
    /// By a tag on a service that is somebody's own: no claim changes that.
    Tagged(EntityRef),
}

impl Holders {
    /// Those of a file; none of one that cannot be read, which is told elsewhere.
    pub(super) fn of(text: &str) -> Self {
        let documents = yaml::load(text).unwrap_or_default();
        let mut holders = BTreeMap::new();
        for root in &documents {
            let list = |name| root.get(name).map_or(&[][..], Node::items).iter();
            // The chain that was generated for somebody's own service, unless that says whose it is.
            let chains = list("filter_chains").filter(|chain| is_ours(chain));
            for (chain, name) in chains.filter_map(|chain| Some((chain, chain.get("service")?.text()?))) {
                holders.extend(entity(chain).map(|entity| (name.to_owned(), Holder::Generated(entity))));
            }
            for (service, name) in list("services").filter_map(|service| Some((service, service.get("name")?.text()?)))
            {
                let holder = if is_ours(service) { Holder::Generated } else { Holder::Tagged };
                holders.extend(entity(service).map(|entity| (name.to_owned(), holder(entity))));
            }
        }
        Self(holders)
    }

    /// Whose a service is, where the file says so.
    pub(super) fn get(&self, service: &str) -> Option<&Holder> {
        self.0.get(service)
    }
}

/// Whether an item carries the tag of what is generated.
pub(super) fn is_ours(item: &Node) -> bool {
    tags(item).any(|tag| tag == MANAGED)
}

fn entity(item: &Node) -> Option<EntityRef> {
    tags(item).find_map(entity_of_tag)
}

fn tags(item: &Node) -> impl Iterator<Item = &str> {
    item.get("tags").map_or(&[][..], Node::items).iter().filter_map(Node::text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_held_by_what_was_generated_and_by_tags_of_others() {
        let text = "\
services:
- {name: a, tags: [managed-by:backstage-kong, backstage-entity:api:default:a]}
- {name: b, tags: [other, backstage-entity:api:b]}
- {name: c, tags: [other]}
- {name: d}
- {tags: [backstage-entity:api:nameless]}
filter_chains:
- {name: b, service: b, tags: [managed-by:backstage-kong, backstage-entity:api:default:x]}
- {name: c, service: c, tags: [managed-by:backstage-kong, backstage-entity:api:default:c]}
- {name: d, service: d, tags: [backstage-entity:api:default:d]}
";
        let holders = Holders::of(text);
        let entity = |name| EntityRef::new("api", "default", name).unwrap();
        for (service, holder) in [
            ("a", Some(Holder::Generated(entity("a")))),
            ("b", Some(Holder::Tagged(entity("b")))),
            ("c", Some(Holder::Generated(entity("c")))),
            ("d", None),
        ] {
            assert_eq!(holders.get(service), holder.as_ref(), "{service}");
        }
        for text in ["", "a: [", "- a\n", "services: {a: b}\n", "services: [7, {name: [a]}]\n"] {
            assert!(Holders::of(text).0.is_empty(), "{text}");
        }
    }
}
