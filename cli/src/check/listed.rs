//! The lists of a declarative configuration, wherever Kong lets them stand.

use crate::yaml::Node;

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
#[derive(Default)]
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
        let mut lists = Self::default();
        lists.services = items(root, "services", "", None, None);
        lists.consumers = items(root, "consumers", "", None, None);
        lists.routes = items(root, "routes", "", None, None);
        lists.chains = items(root, "filter_chains", "", None, None);
        lists.plugins = items(root, "plugins", "", None, None);
        for service in &lists.services {
            lists.routes.extend(items(service.node, "routes", &service.path, name(service.node), None));
            lists.chains.extend(items(service.node, "filter_chains", &service.path, name(service.node), None));
            lists.plugins.extend(items(service.node, "plugins", &service.path, name(service.node), None));
        }
        for route in &lists.routes {
            lists.chains.extend(items(route.node, "filter_chains", &route.path, None, name(route.node)));
            lists.plugins.extend(items(route.node, "plugins", &route.path, None, name(route.node)));
        }
        lists
    }

    /// The service of a name.
    pub(super) fn service(&self, name: &str) -> Option<&Listed<'a>> {
        self.services.iter().find(|service| self::name(service.node) == Some(name))
    }

    /// The route of a name.
    pub(super) fn route(&self, name: &str) -> Option<&Listed<'a>> {
        self.routes.iter().find(|route| self::name(route.node) == Some(name))
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
