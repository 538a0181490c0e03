//! A page of the catalog API's query: how it is asked for, and what it says.

use crate::catalog::entity::Raw;
use crate::catalog::{ACCESS, AGENTS, APPROVED_CONSUMERS, Entity, KONG_SERVICE, QUOTA_TIER, SERVICE, WRITE_ACCESS};
use crate::config::{CatalogSource, Consumers, GROUP_IDS};
use crate::http::Call;
use crate::json::Object;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

/// Largest page that is read, in bytes. Two thousand entities with a few relations each have a third of it.
const MAX_PAGE_BYTES: usize = 8 * 1024 * 1024;
/// Kinds of entities that can be behind a route, or consume one that is.
const KINDS: [&str; 4] = ["api", "component", "resource", "system"];
/// What is read of them.
const FIELDS: &str = "kind,metadata.namespace,metadata.name,spec.lifecycle,relations";
/// What is read of groups; their relations name every member, so they are read only where parents count.
const GROUP_FIELDS: &str = "kind,metadata.namespace,metadata.name";

/// What is asked for: first all groups, then all else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Query {
    Groups,
    Entities,
}

/// An answer.
#[derive(Deserialize)]
pub(super) struct Page {
    items: Vec<Object<Raw>>,
    #[serde(rename = "pageInfo", default)]
    info: Object<PageInfo>,
}

#[derive(Deserialize, Default)]
struct PageInfo {
    #[serde(rename = "nextCursor")]
    next: Option<String>,
}

impl Query {
    /// Asks for the page at `cursor`, or the first one. The API wants `fields` and `limit` with every page.
    pub(super) fn call(self, source: &CatalogSource, cursor: Option<&str>) -> Call {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let mut path = format!(
            "{}/api/catalog/entities/by-query?limit={}&fields={}",
            source.backend.path,
            source.page_size,
            encode(&self.fields(source)),
        );
        match (cursor, self) {
            (Some(cursor), _) => path.push_str(&format!("&cursor={}", encode(cursor))),
            (None, Self::Groups) => path.push_str("&filter=kind%3Dgroup"),
            (None, Self::Entities) => KINDS.iter().for_each(|kind| path.push_str(&format!("&filter=kind%3D{kind}"))),
        }
        let mut to = source.backend.clone();
        to.path = path;
        Call { authorization: source.authorization.clone(), ..to.get(source.timeout, MAX_PAGE_BYTES) }
    }

    fn fields(self, source: &CatalogSource) -> String {
        let own = source.group_annotations.iter().map(String::as_str);
        let (fields, annotations): (_, Vec<&str>) = match self {
            Self::Groups => (GROUP_FIELDS, GROUP_IDS.into_iter().chain(own).chain([QUOTA_TIER]).collect()),
            Self::Entities => {
                let approved = (source.consumers == Consumers::Approved).then_some(APPROVED_CONSUMERS);
                let always = [SERVICE, KONG_SERVICE, ACCESS, WRITE_ACCESS, AGENTS, QUOTA_TIER];
                (FIELDS, always.into_iter().chain(approved).collect())
            }
        };
        let mut fields = fields.to_owned();
        for annotation in annotations {
            fields.push_str(",metadata.annotations.");
            fields.push_str(annotation);
        }
        if self == Self::Groups && source.parent_groups {
            fields.push_str(",relations");
        }
        fields
    }
}

impl Page {
    /// Reads an answer's body; `None` for what is none, or is too large.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let page = (body.len() <= MAX_PAGE_BYTES).then(|| serde_json::from_slice::<Object<Self>>(body).ok());
        page.flatten().map(|Object(page)| page)
    }

    /// Its entities, and where the next page begins. One whose reference breaks Backstage's own rules cannot be meant by
    /// anything and is left out.
    pub(super) fn into_parts(self) -> (impl Iterator<Item = Entity>, Option<String>) {
        (self.items.into_iter().filter_map(|Object(raw)| Entity::try_from(raw).ok()), self.info.0.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(page: &Value) -> Option<usize> {
        Page::read(page.to_string().as_bytes()).map(|page| page.into_parts().0.count())
    }

    #[test]
    fn an_array_is_no_object_at_any_level_of_a_page() {
        let api = json!({"kind": "API", "metadata": {"name": "a", "namespace": "default"}, "spec": {"lifecycle": "production"}});
        let with = |member: &str, value: Value| {
            let mut api = api.clone();
            api[member] = value;
            json!({"items": [api]})
        };
        assert_eq!(read(&json!({"items": [api], "pageInfo": {"nextCursor": "10"}})), Some(1));
        for page in [
            json!([[api], {}]),
            json!([{"items": [api]}]),
            json!({"items": [["API", {"name": "a"}]]}),
            json!({"items": [], "pageInfo": ["10"]}),
            with("metadata", json!(["default", "a", null])),
            with("spec", json!(["production"])),
            with("relations", json!([["ownedBy", "group:default/payments"]])),
        ] {
            assert_eq!(read(&page), None, "{page}");
        }
    }
}
