//! A catalog that was read beforehand, served to the filter as a Backstage would serve it.

use super::calls::Calls;
use backstage_kong::catalog::Entity;
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
        let page = self.page(query.trim_start_matches('?'));
        Ok(Reply { status: 200, cache_control: None, body: page.to_string().into_bytes() })
    }

    fn is_at_hand(&self, call: &Call) -> bool {
        call.to.path.contains(QUERY)
    }
}

impl WithCatalog {
    /// A page. A cursor is the kinds that were asked for first, and how many entities came before, with `0` between all of them:
    /// the filter asks with a cursor alone from then on.
    fn page(&self, query: &str) -> Value {
        let value = |name: &str| query.split('&').find_map(|part| part.strip_prefix(name));
        let (kinds, start) = match value("cursor=").and_then(|cursor| cursor.rsplit_once("0x")) {
            Some((kinds, start)) => (kinds.split('0').collect::<Vec<_>>(), start.parse().unwrap_or(usize::MAX)),
            None => (query.split('&').filter_map(|part| part.strip_prefix("filter=kind%3D")).collect(), 0),
        };
        let limit = value("limit=").and_then(|limit| limit.parse().ok()).unwrap_or(usize::MAX);
        let asked = self.entities.iter().filter(|entity| kinds.contains(&entity.reference.kind()));
        let mut rest = asked.skip(start).peekable();
        let items: Vec<_> = rest.by_ref().take(limit).map(item).collect();
        let next = rest.peek().map(|_| format!("{}0x{}", kinds.join("0"), start + items.len()));
        json!({"items": items, "pageInfo": {"nextCursor": next}})
    }
}

/// An entity as the API writes it.
fn item(entity: &Entity) -> Value {
    let reference = &entity.reference;
    let relations = entity
        .relations
        .iter()
        .map(|relation| json!({"type": relation.kind.name(), "targetRef": relation.target.as_str()}));
    json!({
        "kind": reference.kind(),
        "metadata": {
            "namespace": reference.namespace(), "name": reference.name(), "annotations": entity.annotations,
        },
        "spec": {"lifecycle": entity.lifecycle},
        "relations": relations.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::calls::Offline;
    use super::*;
    use backstage_kong::entity::EntityRef;
    use backstage_kong::http::Endpoint;
    use std::time::Duration;

    fn ask(calls: &mut WithCatalog, path: &str) -> Value {
        let to = Endpoint::parse(&format!("http://backstage:7007{path}"), None).unwrap();
        let reply = calls.call(&to.get(Duration::from_secs(1), 1 << 20)).unwrap();
        serde_json::from_slice(&reply.body).unwrap()
    }

    #[test]
    fn pages_have_what_was_asked_for_and_end() {
        let entity = |name: String| Entity {
            reference: EntityRef::parse_full(&name).unwrap(),
            annotations: Default::default(),
            lifecycle: None,
            relations: Vec::new(),
        };
        let names = (0..5).map(|n| format!("api:default/a{n}")).chain(["group:default/g".to_owned()]);
        let mut calls = WithCatalog::new(names.map(entity).collect(), Box::new(Offline));
        let mut query = format!("{QUERY}?limit=2&filter=kind%3Dapi&filter=kind%3Dsystem");
        let mut seen = Vec::new();
        loop {
            let page = ask(&mut calls, &query);
            let items = page["items"].as_array().unwrap();
            assert!(items.len() <= 2);
            seen.extend(items.iter().map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()));
            let Some(cursor) = page["pageInfo"]["nextCursor"].as_str() else { break };
            query = format!("{QUERY}?limit=2&cursor={cursor}");
        }
        assert_eq!(seen, ["a0", "a1", "a2", "a3", "a4"]);
        let other = Endpoint::parse("http://backstage:7007/jwks", None).unwrap();
        assert!(calls.call(&other.get(Duration::from_secs(1), 1)).unwrap_err().contains("--offline"));
    }
}
