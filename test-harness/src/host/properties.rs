//! Properties, by dotted path.

use super::state::{Exchange, HostState, Phase, Stage};
use super::{LogLevel, Node};

/// What became of reading or writing a property.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// The value; after a write, nothing of interest.
    Found(Vec<u8>),
    NotFound,
    /// The host reports an internal failure.
    Failed,
    Trap(String),
    /// The worker dies.
    Death(String),
}

impl From<Option<Vec<u8>>> for Lookup {
    fn from(value: Option<Vec<u8>>) -> Self {
        value.map_or(Self::NotFound, Self::Found)
    }
}

/// What Kong has setters for. Setting them is accepted here and changes nothing.
const KONG_SETTABLE: &[&str] =
    &["kong.response.status", "kong.service.target", "kong.service.upstream", "kong.service.request.scheme"];

/// nginx's variables by the property that shows the same. None of them can be set.
const NGINX_VARIABLES: &[(&str, &str)] = &[
    ("request_uri", "request.path"),
    ("uri", "request.url_path"),
    ("args", "request.query"),
    ("request_method", "request.method"),
    ("scheme", "request.scheme"),
    ("server_protocol", "request.protocol"),
    ("hostname", "request.host"),
    ("status", "response.code"),
    ("remote_addr", "source.address"),
    ("remote_port", "source.port"),
];

/// Properties of Kong's that the module asks for anew each time: they are no constants.
const KONG_NEVER_KEPT: &[&str] = &["kong.node.memory_stats"];

/// Properties whose absence the module keeps, too.
const KONG_KEPT_ABSENT: &[&str] = &["kong.router.route", "kong.router.service"];

pub(crate) fn get(state: &mut HostState, path: &str) -> Lookup {
    if !state.is_kong() {
        return state
            .exchange()
            .and_then(|exchange| common(&state.node, exchange, path))
            .or_else(|| own(state, path))
            .into();
    }
    let Some(exchange) = state.exchange() else {
        if path.contains('.') {
            state.log(LogLevel::Error, "cannot get scoped properties outside of a request");
            return Lookup::Failed;
        }
        return own(state, path).into();
    };
    if let Some(name) = path.strip_prefix("ngx.") {
        return given(&state.node, exchange, path).or_else(|| nginx_variable(state, exchange, name)).into();
    }
    if !path.starts_with("kong.") {
        return common(&state.node, exchange, path).or_else(|| own(state, path)).into();
    }
    if let Some(cached) = exchange.cached_properties.get(path) {
        return cached.clone().into();
    }
    match state.phase {
        // Kong's getters do not work in the log phase: only what was kept from before is left.
        Phase::Log => return Lookup::NotFound,
        Phase::CallResponse => return corrupted(path),
        _ => {}
    }
    let answered = exchange.stage == Stage::Response;
    match path {
        "kong.response.source" => return Lookup::Trap(format!("could not get \"{path}\": error in property getter")),
        "kong.service.response.status" if !answered => {
            return Lookup::Trap(format!("could not get \"{path}\": error in property getter"));
        }
        "kong.service.response.status" => return Lookup::Found(exchange.status.to_string().into_bytes()),
        _ => {}
    }
    if let Some(key) = path.strip_prefix("kong.ctx.shared.") {
        return exchange.shared_context.get(key).cloned().into();
    }
    let value = given(&state.node, exchange, path).or_else(|| kong_default(exchange, path));
    let kept = value.is_some() || KONG_KEPT_ABSENT.contains(&path);
    if let (true, Some(exchange)) = (kept && !KONG_NEVER_KEPT.contains(&path), state.exchange_mut()) {
        exchange.cached_properties.insert(path.to_owned(), value.clone());
    }
    value.into()
}

/// Kong answers these properties in Lua, and in the answer to a call it does so in a state that is not this request's: the real
/// host crashes now and then, or answers somebody else's request with 500. Here it always crashes.
fn corrupted(path: &str) -> Lookup {
    Lookup::Death(format!("\"{path}\" in the answer to a call"))
}

pub(crate) fn set(state: &mut HostState, path: &str, value: Option<Vec<u8>>) -> Lookup {
    let (kong, phase) = (state.is_kong(), state.phase);
    let Some(exchange) = state.exchange_mut() else {
        if kong && path.contains('.') {
            state.log(LogLevel::Error, "cannot set scoped properties outside of a request");
            return Lookup::Failed;
        }
        return Lookup::NotFound;
    };
    if !kong {
        // Envoy keeps what filters set as filter state, readable by the path it was set by.
        match value {
            Some(value) => exchange.shared_context.insert(path.to_owned(), value),
            None => exchange.shared_context.remove(path),
        };
        return Lookup::Found(Vec::new());
    }
    if !path.starts_with("kong.") {
        let mut variables = NGINX_VARIABLES.iter();
        let known = variables.any(|(name, property)| path == *property || path.strip_prefix("ngx.") == Some(*name));
        if !known {
            return Lookup::NotFound;
        }
        state.log(LogLevel::Error, format!("the variable of \"{path}\" is not changeable"));
        return Lookup::Failed;
    }
    if phase == Phase::CallResponse {
        return corrupted(path);
    }
    if let Some(key) = path.strip_prefix("kong.ctx.shared.") {
        match value {
            Some(value) => exchange.shared_context.insert(key.to_owned(), value),
            None => exchange.shared_context.remove(key),
        };
        return Lookup::Found(Vec::new());
    }
    if KONG_SETTABLE.contains(&path) {
        return Lookup::Found(Vec::new());
    }
    Lookup::Trap(format!("could not set \"{path}\": unknown error"))
}

/// What the test or the gateway gave.
fn given(node: &Node, exchange: &Exchange, path: &str) -> Option<Vec<u8>> {
    exchange.head.properties.get(path).or_else(|| node.settings().properties.get(path)).cloned()
}

fn kong_default(exchange: &Exchange, path: &str) -> Option<Vec<u8>> {
    let text = match path {
        "kong.client.protocol" | "kong.request.forwarded_scheme" => exchange.head.scheme.clone(),
        "kong.request.forwarded_host" => exchange.head.authority.clone(),
        "kong.nginx.subsystem" => "http".to_owned(),
        "kong.node.id" => "00000000-0000-4000-8000-000000000001".to_owned(),
        "kong.version" => "3.9.3".to_owned(),
        _ => return None,
    };
    Some(text.into_bytes())
}

/// nginx's variables, those that a filter may want. Of other names than these there is none.
fn nginx_variable(state: &HostState, exchange: &Exchange, name: &str) -> Option<Vec<u8>> {
    if let Some(header) = name.strip_prefix("http_") {
        return exchange.request.variable(header);
    }
    match name {
        "kong_request_id" => {
            let id = state.active.exchange()?;
            Some(format!("{:032x}", u64::from(id.0)).into_bytes())
        }
        "request_time" => {
            let ms = state.node.now_ms().saturating_sub(exchange.started_ms);
            Some(format!("{}.{:03}", ms / 1000, ms % 1000).into_bytes())
        }
        _ => {
            let (_, property) = NGINX_VARIABLES.iter().find(|(variable, _)| *variable == name)?;
            common(&state.node, exchange, property)
        }
    }
}

/// What both hosts have in a request.
fn common(node: &Node, exchange: &Exchange, path: &str) -> Option<Vec<u8>> {
    if let Some(value) = given(node, exchange, path).or_else(|| exchange.shared_context.get(path).cloned()) {
        return Some(value);
    }
    let kong = node.profile().is_kong();
    if let Some(name) = path.strip_prefix("request.headers.") {
        return if kong { exchange.request.first(name) } else { exchange.request.joined(name) };
    }
    if let Some(name) = path.strip_prefix("response.headers.") {
        return exchange.response.first(name);
    }
    let (url_path, query) = exchange.path.split_once('?').map_or((exchange.path.as_str(), ""), |parts| parts);
    let text = match path {
        // nginx's request_uri is what the client sent.
        "request.path" if kong => exchange.head.path.clone(),
        "request.path" => exchange.path.clone(),
        "request.url_path" => url_path.to_owned(),
        "request.query" => query.to_owned(),
        "request.method" => exchange.method.clone(),
        "request.scheme" => exchange.scheme.clone(),
        "request.protocol" => "HTTP/1.1".to_owned(),
        // nginx's hostname variable is the machine's.
        "request.host" if kong => node.settings().hostname.clone(),
        "request.host" => exchange.authority.clone(),
        "request.useragent" => return exchange.request.first("user-agent"),
        "request.referer" => return exchange.request.first("referer"),
        "request.id" => return exchange.request.first("x-request-id"),
        "response.code" if exchange.status != 0 && kong => exchange.status.to_string(),
        // Envoy's numbers are eight bytes, little end first.
        "response.code" if exchange.status != 0 => return Some(u64::from(exchange.status).to_le_bytes().to_vec()),
        "source.address" if kong => exchange.head.client.ip().to_string(),
        "source.address" => exchange.head.client.to_string(),
        "source.port" if kong => exchange.head.client.port().to_string(),
        "source.port" => return Some(u64::from(exchange.head.client.port()).to_le_bytes().to_vec()),
        _ => return None,
    };
    Some(text.into_bytes())
}

/// What a root context has, too.
fn own(state: &HostState, path: &str) -> Option<Vec<u8>> {
    match path {
        "plugin_name" => Some(state.node.settings().filter_name.clone().into_bytes()),
        "plugin_root_id" => state.root_id().map(|id| id.to_string().into_bytes()),
        "plugin_vm_id" => Some(Vec::new()),
        _ => state.node.settings().properties.get(path).cloned(),
    }
}
