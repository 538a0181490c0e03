//! The lists of a declarative configuration, wherever Kong lets them stand.

use crate::kong::FILTER;
use crate::yaml::Node;
use std::collections::BTreeMap;

/// One item of a list, with where it stands.
#[derive(Clone)]
pub(super) struct Listed<'a> {
    pub node: &'a Node,
    /// The path to it, such as `services[0].routes[1]`.
    pub path: String,
    /// The service that it belongs to: the one that it stands in, or that it names.
    pub service: Option<&'a str>,
    /// The route that it belongs to.
    pub route: Option<&'a str>,
}

/// Everything of a declarative configuration that the filter has to do with.
pub(super) struct Lists<'a> {
    pub services: Vec<Listed<'a>>,
    pub routes: Vec<Listed<'a>>,
    pub chains: Vec<Listed<'a>>,
    pub plugins: Vec<Listed<'a>>,
    pub consumers: Vec<Listed<'a>>,
}

impl<'a> Lists<'a> {
    /// The lists of a document.
    pub(super) fn of(root: &'a Node) -> Self {
        let list = |name| items(root, name, "", None, None);
        let mut lists = Self {
            services: list("services"),
            routes: list("routes"),
            chains: list("filter_chains"),
            plugins: list("plugins"),
            consumers: list("consumers"),
        };
        for service in &lists.services {
            lists.routes.extend(items(service.node, "routes", &service.path, name(service.node), None));
            lists.chains.extend(items(service.node, "filter_chains", &service.path, name(service.node), None));
            lists.plugins.extend(items(service.node, "plugins", &service.path, name(service.node), None));
        }
        for route in &lists.routes {
            lists.chains.extend(items(route.node, "filter_chains", &route.path, None, name(route.node)));
            lists.plugins.extend(items(route.node, "plugins", &route.path, None, name(route.node)));
        }
        // Of consumers too: they can be on any route.
        for consumer in &lists.consumers {
            lists.plugins.extend(items(consumer.node, "plugins", &consumer.path, None, None));
        }
        lists
    }

    /// Chains that have the filter, and plugins that are it.
    pub(super) fn holders(&self) -> impl Iterator<Item = &Listed<'a>> {
        let has = |holder: &&Listed<'_>| {
            let filters = holder.node.get("filters").map_or(&[][..], Node::items);
            filters.iter().any(|filter| name(filter) == Some(FILTER)) || name(holder.node) == Some(FILTER)
        };
        self.chains.iter().chain(&self.plugins).filter(has)
    }

    /// The items of a list that have a name, by it.
    pub(super) fn by_name<'l>(list: &'l [Listed<'a>]) -> BTreeMap<&'a str, &'l Listed<'a>> {
        // Of several with one name, which is told elsewhere, the first.
        list.iter().rev().filter_map(|item| Some((name(item.node)?, item))).collect()
    }
}

fn items<'a>(
    parent: &'a Node,
    list: &str,
    path: &str,
    service: Option<&'a str>,
    route: Option<&'a str>,
) -> Vec<Listed<'a>> {
    let path = if path.is_empty() { list.to_owned() } else { format!("{path}.{list}") };
    let items = parent.get(list).map_or(&[][..], Node::items);
    let listed = |(index, node): (usize, &'a Node)| Listed {
        node,
        path: format!("{path}[{index}]"),
        service: service.or_else(|| reference(node, "service")),
        route: route.or_else(|| reference(node, "route")),
    };
    items.iter().enumerate().map(listed).collect()
}

/// `service: name`, or `service: {name: name}`.
fn reference<'a>(node: &'a Node, field: &str) -> Option<&'a str> {
    let value = node.get(field)?;
    value.text().or_else(|| name(value))
}

/// The name of an item.
pub(super) fn name(node: &Node) -> Option<&str> {
    node.get("name").and_then(Node::text)
}

/// The tags of an item.
pub(super) fn tags(node: &Node) -> Vec<&str> {
    node.get("tags").map(|tags| tags.items().iter().filter_map(Node::text).collect()).unwrap_or_default()
}
