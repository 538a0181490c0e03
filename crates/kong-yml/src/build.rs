//! The file's own shape → [`KongYml`]: addresses and references are resolved, filters put in the order they run.

use super::error::Found;
use super::{Configuration, FilterUse, Filters, KongYml, KongYmlError, Route, Service, raw, transformer};
use serde_json::Value;
use std::time::Duration;

/// What has been read so far.
pub(super) struct Build<'a> {
    filters: Filters<'a>,
    other_plugins: Vec<String>,
    services: Vec<Service>,
    service_chains: Vec<Attached>,
    routes: Vec<Route>,
    route_chains: Vec<Attached>,
    /// What is attached to everything.
    global: Attached,
    configurations: Vec<Configuration>,
}

/// What is attached to one service or route.
#[derive(Default, Clone)]
struct Attached {
    chain: Vec<FilterUse>,
    plugins: Vec<FilterUse>,
    /// Of a `request-transformer`.
    removed_headers: Option<Vec<String>>,
}

/// A plugin that does something here.
enum Plugin {
    Filter(FilterUse),
    RemovedHeaders(Vec<String>),
}

impl Attached {
    fn add(&mut self, plugin: Plugin, path: &str) -> Result<(), KongYmlError> {
        match plugin {
            Plugin::Filter(filter) => self.plugins.push(filter),
            Plugin::RemovedHeaders(_) if self.removed_headers.is_some() => {
                return Err(KongYmlError::new(format!("{path}.name"), Found::Duplicate(transformer::NAME.to_owned())));
            }
            Plugin::RemovedHeaders(names) => self.removed_headers = Some(names),
        }
        Ok(())
    }
}

impl<'a> Build<'a> {
    pub(super) fn new(filters: Filters<'a>) -> Self {
        Self {
            filters,
            other_plugins: Vec::new(),
            services: Vec::new(),
            service_chains: Vec::new(),
            routes: Vec::new(),
            route_chains: Vec::new(),
            global: Attached::default(),
            configurations: Vec::new(),
        }
    }

    pub(super) fn document(mut self, raw: raw::Document) -> Result<(KongYml, Vec<String>), KongYmlError> {
        for (index, service) in raw.services.into_iter().enumerate() {
            self.service(service, &format!("services[{index}]"))?;
        }
        for (index, mut route) in raw.routes.into_iter().enumerate() {
            let path = format!("routes[{index}]");
            let Some(name) = route.service.take() else {
                return Err(KongYmlError::new(path, Found::Missing("a `service`: filters do not run without one")));
            };
            let service = self.find_service(name.name(), &format!("{path}.service"))?;
            self.route(route, service, &path)?;
        }
        for (index, chain) in raw.filter_chains.into_iter().enumerate() {
            let path = format!("filter_chains[{index}]");
            let holder = holder(chain.route.as_ref(), chain.service.as_ref());
            let filters = self.chain(chain.filters, chain.enabled, &holder, &path)?;
            self.attached(chain.route.as_ref(), chain.service.as_ref(), &path)?.chain.extend(filters);
        }
        for (index, plugin) in raw.plugins.into_iter().enumerate() {
            let path = format!("plugins[{index}]");
            let (route, service) = (plugin.route.clone(), plugin.service.clone());
            let holder = holder(route.as_ref(), service.as_ref());
            match (self.plugin(plugin, &holder, &path)?, &route, &service) {
                (None, ..) => {}
                (Some(removed @ Plugin::RemovedHeaders(_)), None, None) => self.global.add(removed, &path)?,
                (Some(plugin), ..) => self.attached(route.as_ref(), service.as_ref(), &path)?.add(plugin, &path)?,
            }
        }
        Ok(self.finish())
    }

    fn service(&mut self, raw: raw::Service, path: &str) -> Result<(), KongYmlError> {
        let address = Address::of(&raw, path)?;
        let name = raw.name.unwrap_or_else(|| address.host.clone());
        if self.services.iter().any(|service| service.name == name) {
            return Err(KongYmlError::new(format!("{path}.name"), Found::Duplicate(name)));
        }
        self.services.push(Service {
            id: uuid_of(&format!("service {name}")),
            name: name.clone(),
            protocol: address.protocol,
            host: address.host,
            port: address.port,
            path: address.path,
            connect_timeout: Duration::from_millis(raw.connect_timeout),
            read_timeout: Duration::from_millis(raw.read_timeout),
            tags: raw.tags,
        });
        let service = self.services.len() - 1;
        let attached = self.attachments(raw.filter_chains, raw.plugins, &format!("service {name:?}"), path)?;
        self.service_chains.push(attached);
        for (index, route) in raw.routes.into_iter().enumerate() {
            self.route(route, service, &format!("{path}.routes[{index}]"))?;
        }
        Ok(())
    }

    fn route(&mut self, raw: raw::Route, service: usize, path: &str) -> Result<(), KongYmlError> {
        for (index, pattern) in raw.paths.iter().enumerate() {
            let at = || format!("{path}.paths[{index}]");
            match pattern.strip_prefix('~') {
                Some(regex) => {
                    regex_lite::Regex::new(regex)
                        .map_err(|error| KongYmlError::new(at(), Found::Regex(pattern.clone(), error.to_string())))?;
                }
                None if pattern.starts_with('/') => {}
                None => {
                    let allowed = "a prefix starting with `/`, or `~` and a regular expression";
                    return Err(KongYmlError::new(at(), Found::NotAllowed(pattern.clone(), allowed)));
                }
            }
        }
        if raw.paths.is_empty() && raw.methods.is_empty() && raw.hosts.is_empty() {
            return Err(KongYmlError::new(path, Found::Missing("at least one of `paths`, `methods`, `hosts`")));
        }
        let name = raw.name.or_else(|| raw.paths.first().cloned()).unwrap_or_else(|| path.to_owned());
        if self.routes.iter().any(|route| route.name == name) {
            return Err(KongYmlError::new(format!("{path}.name"), Found::Duplicate(name)));
        }
        self.routes.push(Route {
            id: uuid_of(&format!("route {name}")),
            name: name.clone(),
            service,
            paths: raw.paths,
            methods: raw.methods,
            hosts: raw.hosts,
            strip_path: raw.strip_path,
            preserve_host: raw.preserve_host,
            regex_priority: raw.regex_priority,
            tags: raw.tags,
            filters: Vec::new(),
            removed_headers: Vec::new(),
        });
        let attached = self.attachments(raw.filter_chains, raw.plugins, &format!("route {name:?}"), path)?;
        self.route_chains.push(attached);
        Ok(())
    }

    fn attachments(
        &mut self,
        chains: Vec<raw::FilterChain>,
        plugins: Vec<raw::Plugin>,
        holder: &str,
        path: &str,
    ) -> Result<Attached, KongYmlError> {
        let mut attached = Attached::default();
        for (index, chain) in chains.into_iter().enumerate() {
            let path = format!("{path}.filter_chains[{index}]");
            attached.chain.extend(self.chain(chain.filters, chain.enabled, holder, &path)?);
        }
        for (index, plugin) in plugins.into_iter().enumerate() {
            let path = format!("{path}.plugins[{index}]");
            if let Some(plugin) = self.plugin(plugin, holder, &path)? {
                attached.add(plugin, &path)?;
            }
        }
        Ok(attached)
    }

    fn chain(
        &mut self,
        filters: Vec<raw::Filter>,
        enabled: bool,
        holder: &str,
        path: &str,
    ) -> Result<Vec<FilterUse>, KongYmlError> {
        let mut chain = Vec::new();
        for (index, filter) in filters.into_iter().enumerate() {
            let path = format!("{path}.filters[{index}]");
            if let Filters::Loaded(names) = self.filters
                && !names.contains(&filter.name.as_str())
            {
                let found = Found::UnknownFilter(filter.name, names.join(", "));
                return Err(KongYmlError::new(format!("{path}.name"), found));
            }
            self.configuration(&filter.name, &filter.config, holder, &path);
            if enabled && filter.enabled {
                chain.push(FilterUse { name: filter.name, config: config_bytes(filter.config) });
            }
        }
        Ok(chain)
    }

    /// What a plugin does here; `None` when it is disabled, or does nothing.
    fn plugin(&mut self, plugin: raw::Plugin, holder: &str, path: &str) -> Result<Option<Plugin>, KongYmlError> {
        if plugin.name == transformer::NAME {
            if plugin.consumer.is_some() || plugin.consumer_group.is_some() {
                self.other_plugins.push(format!("{} of a consumer", plugin.name));
                return Ok(None);
            }
            let names = transformer::removed_headers(&plugin, path, &mut self.other_plugins)?;
            return Ok(plugin.enabled.then_some(Plugin::RemovedHeaders(names)));
        }
        if !self.filters.names().contains(&plugin.name.as_str()) {
            self.other_plugins.push(plugin.name);
            return Ok(None);
        }
        self.configuration(&plugin.name, &plugin.config, holder, path);
        let filter = FilterUse { name: plugin.name, config: config_bytes(plugin.config) };
        Ok(plugin.enabled.then_some(Plugin::Filter(filter)))
    }

    fn configuration(&mut self, filter: &str, value: &Value, holder: &str, path: &str) {
        self.configurations.push(Configuration {
            path: format!("{path}.config"),
            holder: holder.to_owned(),
            filter: filter.to_owned(),
            value: value.clone(),
        });
    }

    fn attached(
        &mut self,
        route: Option<&raw::Reference>,
        service: Option<&raw::Reference>,
        path: &str,
    ) -> Result<&mut Attached, KongYmlError> {
        let slot = match (route, service) {
            (Some(route), None) => {
                let index = self.routes.iter().position(|r| r.name == route.name());
                index.and_then(|index| self.route_chains.get_mut(index))
            }
            (None, Some(service)) => {
                let index = self.services.iter().position(|s| s.name == service.name());
                index.and_then(|index| self.service_chains.get_mut(index))
            }
            _ => None,
        };
        slot.ok_or_else(|| {
            KongYmlError::new(path, Found::Missing("either a `route` or a `service`, by the name of one in this file"))
        })
    }

    fn find_service(&self, name: &str, path: &str) -> Result<usize, KongYmlError> {
        self.services.iter().position(|service| service.name == name).ok_or_else(|| {
            KongYmlError::new(path, Found::NotAllowed(name.to_owned(), "the name of a service in this file"))
        })
    }

    fn finish(mut self) -> (KongYml, Vec<String>) {
        for (route, own) in self.routes.iter_mut().zip(self.route_chains) {
            let service = self.service_chains.get(route.service).cloned().unwrap_or_default();
            // As with Kong's plugins, the one on the route replaces the one of that name on the service.
            let inherited = service.plugins.into_iter().filter(|p| own.plugins.iter().all(|o| o.name != p.name));
            route.filters = service.chain;
            route.filters.extend(own.chain);
            route.filters.extend(inherited);
            route.filters.extend(own.plugins.clone());
            let removed = own.removed_headers.or(service.removed_headers);
            route.removed_headers = removed.or_else(|| self.global.removed_headers.clone()).unwrap_or_default();
        }
        let (services, routes, configurations) = (self.services, self.routes, self.configurations);
        (KongYml { services, routes, configurations }, self.other_plugins)
    }
}

/// The four fields Kong makes of a service's `url`.
struct Address {
    protocol: String,
    host: String,
    port: u16,
    path: String,
}

impl Address {
    fn of(raw: &raw::Service, path: &str) -> Result<Self, KongYmlError> {
        let allowed = "http://host, http://host:port or http://host:port/path";
        let (protocol, host, port, prefix) = match &raw.url {
            Some(url) => {
                let bad = || KongYmlError::new(format!("{path}.url"), Found::NotAllowed(url.clone(), allowed));
                let uri: http::Uri = url.parse().map_err(|_| bad())?;
                let scheme = uri.scheme_str().ok_or_else(bad)?.to_owned();
                let host = uri.host().ok_or_else(bad)?.to_owned();
                (scheme, host, uri.port_u16(), Some(uri.path().to_owned()))
            }
            None => {
                let missing = || KongYmlError::new(path, Found::Missing("a `url` or a `host`"));
                let host = raw.host.clone().ok_or_else(missing)?;
                (raw.protocol.clone().unwrap_or_else(|| "http".to_owned()), host, raw.port, raw.path.clone())
            }
        };
        let default_port = match protocol.as_str() {
            "http" => 80,
            "https" => 443,
            _ => {
                return Err(KongYmlError::new(
                    format!("{path}.protocol"),
                    Found::NotAllowed(protocol, "http or https"),
                ));
            }
        };
        let prefix = prefix.unwrap_or_default().trim_end_matches('/').to_owned();
        Ok(Self { protocol, host, port: port.unwrap_or(default_port), path: prefix })
    }
}

/// What a chain or plugin that stands by itself is on.
fn holder(route: Option<&raw::Reference>, service: Option<&raw::Reference>) -> String {
    match (route, service) {
        (Some(route), _) => format!("route {:?}", route.name()),
        (None, Some(service)) => format!("service {:?}", service.name()),
        (None, None) => "nothing".to_owned(),
    }
}

fn config_bytes(config: Value) -> Vec<u8> {
    match config {
        Value::Null => Vec::new(),
        Value::String(text) => text.into_bytes(),
        other => other.to_string().into_bytes(),
    }
}

/// A UUID (version 8) that depends on nothing but the name.
fn uuid_of(name: &str) -> String {
    use sha2::{Digest, Sha256};
    use std::fmt::Write;
    let mut hex = String::with_capacity(36);
    for (index, byte) in Sha256::digest(name.as_bytes()).iter().take(16).enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            hex.push('-');
        }
        let byte = match index {
            6 => (byte & 0x0f) | 0x80,
            8 => (byte & 0x3f) | 0x80,
            _ => *byte,
        };
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}
