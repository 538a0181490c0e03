//! Kong's own plugins that the filter does not get along with, by the sources of Kong 3.9.3; of those that only Kong Enterprise
//! has, by their documentation.

use super::listed::{Listed, Lists, name};
use crate::finding::{File, Finding};
use crate::kong::FILTER;
use crate::yaml::Node;
use std::collections::BTreeSet;

/// They answer in the access phase, before the filter is asked: whoever calls gets the answer.
const ANSWER: [&str; 10] = [
    "aws-lambda",
    "azure-functions",
    "forward-proxy",
    "graphql-proxy-cache-advanced",
    "mocking",
    "proxy-cache",
    "proxy-cache-advanced",
    "ai-semantic-cache",
    "redirect",
    "request-termination",
];
/// They buffer the upstream's answer: Kong sends the request on without asking the filter.
const BUFFER: [&str; 4] = ["ai-proxy", "ai-proxy-advanced", "ai-request-transformer", "ai-response-transformer"];
/// They set `x-consumer-*` and `x-credential-identifier` for the upstream.
const AUTHENTICATE: [&str; 11] = [
    "basic-auth",
    "hmac-auth",
    "jwt",
    "jwt-signer",
    "key-auth",
    "key-auth-enc",
    "ldap-auth",
    "ldap-auth-advanced",
    "mtls-auth",
    "oauth2",
    "session",
];
/// Clears forged names where `kong.yml` has it on everything.
const CLEARS: &str = "pre-function";

/// Plugins on routes that the filter decides about.
pub(super) fn findings(file: &File, lists: &Lists<'_>) -> Vec<Finding> {
    let routes = &lists.routes;
    let filters: Vec<_> = lists.holders().map(|holder| (holder, reached(holder, routes))).collect();
    let guarded: BTreeSet<usize> = filters.iter().flat_map(|(_, routes)| routes).copied().collect();
    let is_everywhere = |plugin: &&Listed<'_>| reached(plugin, routes).len() == routes.len() && is_global(plugin);
    let global = lists.plugins.iter().filter(|plugin| is_on(plugin, CLEARS)).find(is_everywhere);
    let mut findings = Vec::new();
    for plugin in lists.plugins.iter().filter(|plugin| is_enabled(plugin.node)) {
        let Some(kind) = name(plugin.node).filter(|kind| *kind != FILTER) else { continue };
        let at = reached(plugin, routes);
        if at.is_disjoint(&guarded) {
            continue;
        }
        let place = file.line(plugin.node.entry("name").map_or(plugin.node.line, |name| name.line));
        let path = &plugin.path;
        if ANSWER.contains(&kind) {
            let message = format!("{path}: {kind} answers before the filter is asked: everybody gets its answers");
            findings.push(Finding::error(place, message).fix("take it off the routes that the filter guards"));
        } else if BUFFER.contains(&kind) {
            let message = format!(
                "{path}: {kind} buffers the answer: Kong sends the request to the upstream without asking the filter"
            );
            findings.push(Finding::error(place, message).fix("take it off the routes that the filter guards"));
        } else if AUTHENTICATE.contains(&kind) {
            let empties = |(holder, routes): &&(&Listed<'_>, BTreeSet<usize>)| {
                !keeps_consumer(holder.node) && !routes.is_disjoint(&at)
            };
            if filters.iter().any(|filter| empties(&filter)) {
                let message = format!("{path}: the upstream does not get the consumer that {kind} finds");
                let fix = "set tags.consumer_headers: keep in the filter's configuration, if it needs it";
                findings.push(Finding::warning(place, message).fix(fix));
            }
        } else if kind == CLEARS
            && !is_global(plugin)
            && let Some(global) = global
        {
            let message = format!(
                "{path}: a {CLEARS} of a route or a service runs in the place of the one on everything, on line {}",
                global.node.line
            );
            let fix = "repeat the functions of that one here; with untrusted_lua = off Kong runs neither, and drops the requests";
            findings.push(Finding::warning(place, message).fix(fix));
        }
    }
    findings
}

fn is_on(plugin: &Listed<'_>, kind: &str) -> bool {
    name(plugin.node) == Some(kind) && is_enabled(plugin.node)
}

fn is_enabled(plugin: &Node) -> bool {
    plugin.get("enabled").is_none_or(|enabled| enabled.to_json() != false)
}

/// Whether something is on everything, or on all requests of a consumer.
fn is_global(holder: &Listed<'_>) -> bool {
    holder.route.is_none() && holder.service.is_none() && parent(holder).is_none()
}

/// What something stands in, unless that is the document, or a consumer, who calls any route.
fn parent<'a>(holder: &'a Listed<'_>) -> Option<&'a str> {
    holder.path.rsplit_once('.').map(|(parent, _)| parent).filter(|parent| !parent.starts_with("consumer"))
}

/// The routes that a plugin or a chain is on, by their places in the list.
fn reached(holder: &Listed<'_>, routes: &[Listed<'_>]) -> BTreeSet<usize> {
    let service_of = |route: &Listed<'_>| route.path.rsplit_once('.').map(|(service, _)| service.to_owned());
    let is_on = |route: &Listed<'_>| {
        let inside = parent(holder);
        let within = inside.is_some_and(|at| at == route.path || service_of(route).as_deref() == Some(at));
        let by_route = holder.route.is_some() && holder.route == name(route.node);
        let by_service = holder.route.is_none() && holder.service.is_some() && holder.service == route.service;
        within || by_route || by_service || is_global(holder)
    };
    routes.iter().enumerate().filter(|(_, route)| is_on(route)).map(|(index, _)| index).collect()
}

/// Whether every configuration of the filter in a chain, or in a plugin, leaves the consumer's headers alone.
fn keeps_consumer(holder: &Node) -> bool {
    let filters = holder.get("filters").map_or(&[][..], Node::items).iter();
    let all = filters.chain([holder]).filter(|filter| name(filter) == Some(FILTER));
    let keeps = |filter: &Node| {
        filter.at(&["config", "tags", "consumer_headers"]).and_then(|entry| entry.value.text()) == Some("keep")
    };
    all.into_iter().all(keeps)
}
