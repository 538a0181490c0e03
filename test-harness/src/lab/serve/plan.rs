//! The declarative configuration, loaded and ready to route by.

use anyhow::{Context, bail};
use kong_yml::schema::Schema;
use kong_yml::{Filters, KongYml, Route, Router, Service};
use std::collections::BTreeMap;
use std::path::Path;

/// A configuration in force.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) config: KongYml,
    pub(super) router: Router,
    pub(super) other_plugins: Vec<String>,
}

impl Plan {
    /// Reads a file, and validates the filter's configurations in it where there is a schema.
    pub(super) fn load(path: &Path, filter: &str, schema: Option<&Schema>) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Self::parse(&text, filter, schema).with_context(|| path.display().to_string())
    }

    fn parse(text: &str, filter: &str, schema: Option<&Schema>) -> anyhow::Result<Self> {
        let (config, other_plugins) = KongYml::parse(text, Filters::Loaded(&[filter]))?;
        schema.map_or(Ok(()), |schema| config.validate(filter, schema))?;
        for route in &config.routes {
            if route.filters.len() > 1 {
                bail!("route {:?} has {} filters in its chain; this gateway runs one", route.name, route.filters.len());
            }
        }
        if let Some(service) = config.services.iter().find(|service| service.protocol != "http") {
            bail!(
                "service {:?} asks for {}; this gateway speaks only http to upstreams",
                service.name,
                service.protocol
            );
        }
        Ok(Self { router: Router::new(&config), config, other_plugins })
    }

    /// The filter's configuration on each route that has one.
    pub(super) fn filter_configs(&self) -> Vec<(String, Vec<u8>)> {
        let configured = |route: &Route| Some((route.name.clone(), route.filters.first()?.config.clone()));
        self.config.routes.iter().filter_map(configured).collect()
    }

    pub(super) fn service(&self, route: &Route) -> Option<&Service> {
        self.config.services.get(route.service)
    }
}

/// The properties through which a filter on Kong learns about route and service.
pub(super) fn properties(route: &Route, service: &Service) -> BTreeMap<String, Vec<u8>> {
    let route_json = serde_json::json!({
        "id": route.id, "name": route.name, "tags": route.tags, "paths": route.paths, "methods": route.methods,
        "hosts": route.hosts, "strip_path": route.strip_path, "preserve_host": route.preserve_host,
        "service": {"id": service.id},
    });
    let service_json = serde_json::json!({
        "id": service.id, "name": service.name, "tags": service.tags, "host": service.host, "port": service.port,
        "protocol": service.protocol, "path": service.path,
    });
    [
        ("kong.route_id", route.id.clone()),
        ("kong.route_name", route.name.clone()),
        ("kong.service_id", service.id.clone()),
        ("kong.service_name", service.name.clone()),
        ("kong.router.route", route_json.to_string()),
        ("kong.router.service", service_json.to_string()),
        ("kong.client.protocol", "http".to_owned()),
        // What a filter on Envoy reads instead.
        ("xds.route_name", route.name.clone()),
        ("xds.cluster_name", service.name.clone()),
        ("route_name", route.name.clone()),
        ("cluster_name", service.name.clone()),
    ]
    .into_iter()
    .map(|(path, value)| (path.to_owned(), value.into_bytes()))
    .collect()
}
