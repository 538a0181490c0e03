//! What is written into Kong's declarative configuration.

use crate::kong::MANAGED;
use backstage_kong::catalog::tag_of_entity;
use backstage_kong::entity::EntityRef;
use serde::Serialize;
use serde_yaml_ng::Value;

/// A service with its routes and its filters.
#[derive(Debug, Serialize)]
pub(super) struct Service {
    pub name: String,
    pub url: String,
    pub tags: Vec<String>,
    pub routes: Vec<Route>,
    pub filter_chains: Vec<FilterChain>,
}

/// A route of a service.
#[derive(Debug, Serialize)]
pub(super) struct Route {
    pub name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    pub paths: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex_priority: Option<usize>,
    pub strip_path: bool,
    pub tags: Vec<String>,
}

/// A filter chain, of the service that it stands in or that it names.
#[derive(Debug, Serialize)]
pub(super) struct FilterChain {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    pub tags: Vec<String>,
    pub filters: Vec<Filter>,
}

/// A filter of a chain.
#[derive(Debug, Serialize)]
pub(super) struct Filter {
    pub name: &'static str,
    pub config: Value,
}

/// A consumer.
#[derive(Debug, Serialize)]
pub(super) struct Consumer {
    pub username: String,
    pub custom_id: String,
    pub tags: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub acls: Vec<Acl>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupName>,
}

/// A group of Kong's ACL plugin that a consumer is in.
#[derive(Debug, Serialize)]
pub(super) struct Acl {
    pub group: String,
    pub tags: Vec<String>,
}

/// A consumer group, by its name.
#[derive(Debug, Serialize)]
pub(super) struct GroupName {
    pub name: String,
}

/// A consumer group.
#[derive(Debug, Serialize)]
pub(super) struct ConsumerGroup {
    pub name: String,
    pub tags: Vec<String>,
}

/// One thing of a list of the configuration.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Item {
    /// What tells it from the others of its list.
    pub key: String,
    /// All of it.
    pub value: Value,
}

/// A list of the configuration.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Section {
    /// Its name.
    pub name: &'static str,
    /// The field that tells its items apart.
    pub key: &'static str,
    /// Its items, by key.
    pub items: Vec<Item>,
}

impl Section {
    /// A list of these items, sorted by what tells them apart.
    pub(super) fn new<T: Serialize>(
        name: &'static str,
        key: &'static str,
        items: impl IntoIterator<Item = T>,
    ) -> anyhow::Result<Self> {
        let item = |item| {
            let value = serde_yaml_ng::to_value(item)?;
            let key = value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            anyhow::Ok(Item { key, value })
        };
        let mut items = items.into_iter().map(item).collect::<Result<Vec<_>, _>>()?;
        items.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(Self { name, key, items })
    }
}

/// The tags of what is made of an entity.
pub(super) fn tags(entity: &EntityRef) -> Vec<String> {
    vec![MANAGED.to_owned(), tag_of_entity(entity)]
}
