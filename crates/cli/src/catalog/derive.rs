//! The relations of entities in files.
//!
//! Those that Backstage's `BuiltinKindsEntityProcessor` makes of `spec`, with its defaults: the kind that each field implies, and
//! the namespace of the entity itself.

use super::{Item, Link, Relationship};
use crate::finding::Finding;
use backstage_kong::entity::EntityRef;

/// A field of `spec` and the relation that it makes.
struct Field {
    name: &'static str,
    /// The kind of what it names, where none is written.
    kind: &'static str,
    link: Link,
    /// Whether the entity that is named has the relation, and this one is its target.
    is_reverse: bool,
}

const fn field(name: &'static str, kind: &'static str, link: Link) -> Field {
    Field { name, kind, link, is_reverse: false }
}

const fn reverse(name: &'static str, kind: &'static str, link: Link) -> Field {
    Field { name, kind, link, is_reverse: true }
}

const OWNER: Field = field("owner", "group", Link::OwnedBy);
const SYSTEM: Field = field("system", "system", Link::PartOf);

fn fields(kind: &str) -> &'static [Field] {
    match kind {
        "component" => {
            const {
                &[
                    OWNER,
                    SYSTEM,
                    field("subcomponentOf", "component", Link::PartOf),
                    field("providesApis", "api", Link::ProvidesApi),
                    field("consumesApis", "api", Link::ConsumesApi),
                ]
            }
        }
        "api" | "resource" => const { &[OWNER, SYSTEM] },
        "user" => const { &[field("memberOf", "group", Link::MemberOf)] },
        "group" => {
            const {
                &[
                    field("parent", "group", Link::ChildOf),
                    reverse("children", "group", Link::ChildOf),
                    reverse("members", "user", Link::MemberOf),
                ]
            }
        }
        "system" => const { &[OWNER, field("domain", "domain", Link::PartOf)] },
        "domain" => const { &[OWNER, field("subdomainOf", "domain", Link::PartOf)] },
        _ => &[],
    }
}

/// The relations that an entity of a file makes, and the references that are none.
pub(super) fn relationships(item: &Item) -> (Vec<Relationship>, Vec<Finding>) {
    let (mut relationships, mut findings) = (Vec::new(), Vec::new());
    for field in fields(item.reference.kind()) {
        let Some(entry) = item.node().at(&["spec", field.name]) else { continue };
        for (line, text) in entry.value.texts() {
            match EntityRef::parse(text, Some(field.kind), item.reference.namespace()) {
                Ok(other) => {
                    let own = item.reference.clone();
                    let (from, to) = if field.is_reverse { (other, own) } else { (own, other) };
                    relationships.push(Relationship { from, link: field.link, to, place: item.line(line) });
                }
                Err(error) => {
                    let message = format!("spec.{}: {text:?} {error}", field.name);
                    findings.push(Finding::error(item.line(line), message));
                }
            }
        }
    }
    (relationships, findings)
}

/// The relations that a Backstage says an entity has.
pub(super) fn served(item: &Item) -> Vec<Relationship> {
    let relations = item.node().get("relations").map_or(&[][..], |relations| relations.items());
    let relation = |relation: &crate::yaml::Node| {
        Some(Relationship {
            from: item.reference.clone(),
            link: Link::from_name(relation.get("type")?.text()?)?,
            to: EntityRef::parse_full(relation.get("targetRef")?.text()?).ok()?,
            place: item.place(),
        })
    };
    relations.iter().filter_map(relation).collect()
}
