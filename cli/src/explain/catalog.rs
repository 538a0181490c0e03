//! A catalog that was read beforehand, served to the filter as a Backstage would serve it.

use super::calls::Calls;
use backstage_kong::catalog::{Entity, RelationKind};
use backstage_kong::http::{Call, Reply};
use serde_json::{Value, json};

/// The catalog API's query.
const QUERY: &str = "/api/catalog/entities/by-query";

/// Answers questions about the catalog, and leaves others to somebody else.
pub struct WithCatalog {
    entities: Vec<Entity>,
    others: Box<dyn Calls>,
}

impl WithCatalog {
    /// A catalog of these entities.
    pub fn new(entities: Vec<Entity>, others: Box<dyn Calls>) -> Self {
        Self { entities, others }
    }
}

impl Calls for WithCatalog {
    fn call(&mut self, call: &Call) -> Result<Reply, String> {
        let Some((_, query)) = call.to.path.split_once(QUERY) else { return self.others.call(call) };
        let kinds: Vec<_> = query.split('&').filter_map(|part| part.strip_prefix("filter=kind%3D")).collect();
        let asked = self.entities.iter().filter(|entity| kinds.contains(&entity.reference.kind()));
        // All on one page, however many were asked for.
        let page = json!({"items": asked.map(item).collect::<Vec<_>>(), "pageInfo": {}});
        Ok(Reply { status: 200, cache_control: None, body: page.to_string().into_bytes() })
    }
}

/// An entity as the API writes it.
fn item(entity: &Entity) -> Value {
    let reference = &entity.reference;
    let relations = entity
        .relations
        .iter()
        .map(|relation| json!({"type": name(relation.kind), "targetRef": relation.target.as_str()}));
    json!({
        "kind": reference.kind(),
        "metadata": {
            "namespace": reference.namespace(), "name": reference.name(), "annotations": entity.annotations,
        },
        "spec": {"lifecycle": entity.lifecycle},
        "relations": relations.collect::<Vec<_>>(),
    })
}

fn name(relation: RelationKind) -> &'static str {
    match relation {
        RelationKind::OwnedBy => "ownedBy",
        RelationKind::ConsumesApi => "consumesApi",
        RelationKind::PartOf => "partOf",
        RelationKind::ChildOf => "childOf",
    }
}
