//! An entity → its Kong service's address and routes.

use super::openapi::{self, ApiPath, Server};
use super::output::{Route, tags};
use crate::annotations::{HOSTS, PATHS, STRIP_PATH, Serving, UPSTREAM, upstream};
use crate::catalog::{Definition, Item};
use crate::finding::Finding;
use clap::ValueEnum;
use http::Uri;
use std::collections::BTreeSet;

/// What routes are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Routes {
    /// One route an API: everything below its paths.
    Prefix,
    /// One route for each path of its OpenAPI definition, with the methods that are defined, and nothing else.
    PerPath,
}

/// Where requests to an entity come in and go.
pub(super) struct Routed {
    /// Kong's `url`.
    pub url: String,
    pub routes: Vec<Route>,
}

/// Routes of an entity.
///
/// # Errors
/// What keeps it from being served.
pub(super) fn routes(item: &Item, service: &str, serving: &Serving, kind: Routes) -> Result<Routed, Finding> {
    let definition = item.definition()?;
    let server = definition.as_ref().and_then(|definition| openapi::server(&definition.node));
    let upstream = upstream_of(item, serving, server.as_ref())?;
    let bases = bases(item, serving, server.as_ref())?;
    match kind {
        Routes::Prefix => {
            let route = Route {
                name: service.to_owned(),
                hosts: serving.hosts.clone(),
                methods: Vec::new(),
                paths: bases,
                regex_priority: None,
                strip_path: serving.strip_path.unwrap_or(true),
                tags: tags(&item.reference),
            };
            Ok(Routed { url: url(&upstream, upstream.path()), routes: vec![route] })
        }
        Routes::PerPath => per_path(item, service, serving, &upstream, &bases, definition.as_ref()),
    }
}

fn upstream_of(item: &Item, serving: &Serving, server: Option<&Server>) -> Result<Uri, Finding> {
    if let Some(upstream) = &serving.upstream {
        return Ok(upstream.clone());
    }
    let missing = |message: &str| {
        Finding::error(item.place(), format!("{} {message}", item.reference))
            .fix(format!("say where Kong sends its requests: {UPSTREAM}: http://host:port"))
    };
    let Some(server) = server else { return Err(missing("has no upstream, and no definition with `servers`")) };
    let Some(origin) = &server.origin else {
        return Err(missing("has no upstream, and its first server names no host"));
    };
    let url = format!("{origin}{}", server.path);
    upstream(&url).ok_or_else(|| missing(&format!("has no upstream, and its first server, {url:?}, cannot be one")))
}

/// The paths that requests come in on.
fn bases(item: &Item, serving: &Serving, server: Option<&Server>) -> Result<Vec<String>, Finding> {
    if !serving.paths.is_empty() {
        return Ok(serving.paths.clone());
    }
    match server.map(|server| server.path.as_str()) {
        Some(path) if !path.is_empty() => Ok(vec![path.to_owned()]),
        _ if !serving.hosts.is_empty() => Ok(vec!["/".to_owned()]),
        _ => {
            let message = format!(
                "{} has neither paths nor hosts, and its first server has no path: every request would be its",
                item.reference
            );
            Err(Finding::error(item.place(), message).fix(format!("give it {PATHS}: /some/path, or {HOSTS}")))
        }
    }
}

fn url(upstream: &Uri, path: &str) -> String {
    let (scheme, authority) =
        (upstream.scheme_str().unwrap_or("http"), upstream.authority().map_or("", |a| a.as_str()));
    format!("{scheme}://{authority}{}", path.trim_end_matches('/'))
}

/// Kong takes off what a regular expression matches, which would be all: such routes keep the path, and what is to be
/// replaced must be what the upstream's own path ends with.
fn per_path(
    item: &Item,
    service: &str,
    serving: &Serving,
    upstream: &Uri,
    bases: &[String],
    definition: Option<&Definition>,
) -> Result<Routed, Finding> {
    let paths = definition.map(|definition| openapi::paths(&definition.node)).unwrap_or_default();
    if paths.is_empty() {
        let message = format!("{} has no definition with `paths`, of which routes could be made", item.reference);
        return Err(Finding::error(item.place(), message).fix("give it one, or leave out --routes per-path"));
    }
    let own = upstream.path().trim_end_matches('/');
    let mut kept = None;
    for base in bases {
        let kept_here =
            if serving.strip_path == Some(false) { Some(own) } else { own.strip_suffix(base.trim_end_matches('/')) };
        if kept_here.is_none() || kept.is_some_and(|kept| Some(kept) != kept_here) {
            let message =
                format!("a route for each path cannot put the upstream's path {own:?} in the place of {base:?}");
            return Err(Finding::error(item.place_of_annotation(PATHS), message)
                .fix(format!("make the upstream's path end in it, or say {STRIP_PATH}: \"false\"")));
        }
        kept = kept_here;
    }
    let mut names = BTreeSet::new();
    let route = |path: &ApiPath| {
        let regexes = bases.iter().map(|base| regex(base.trim_end_matches('/'), &path.path)).collect();
        Route {
            name: unique(format!("{service}.{}", slug(&path.path)), &mut names),
            hosts: serving.hosts.clone(),
            methods: methods(path),
            paths: regexes,
            regex_priority: Some(
                path.path.split('/').filter(|segment| !segment.is_empty() && !segment.contains('{')).count(),
            ),
            strip_path: false,
            tags: tags(&item.reference),
        }
    };
    Ok(Routed { url: url(upstream, kept.unwrap_or_default()), routes: paths.iter().map(route).collect() })
}

/// Those of the path, HEAD with GET, and OPTIONS: browsers ask with it whether they may call.
fn methods(path: &ApiPath) -> Vec<String> {
    let mut methods: BTreeSet<String> = path.methods.iter().cloned().collect();
    if methods.contains("GET") {
        methods.insert("HEAD".to_owned());
    }
    methods.insert("OPTIONS".to_owned());
    methods.into_iter().collect()
}

/// Kong's regular expression for exactly a path: each `{parameter}` stands for something without a `/`.
fn regex(base: &str, path: &str) -> String {
    let mut regex = format!("~{}", escaped(base));
    let mut rest = path;
    while let Some((literal, parameter)) = rest.split_once('{') {
        regex.push_str(&escaped(literal));
        regex.push_str("[^/]+");
        rest = parameter.split_once('}').map_or("", |(_, rest)| rest);
    }
    regex.push_str(&escaped(rest));
    regex.push('$');
    regex
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\.+*?()|[]{}^$".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// A path as a part of a name.
fn slug(path: &str) -> String {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric() && !"._".contains(c)).filter(|word| !word.is_empty());
    let slug = words.collect::<Vec<_>>().join("-");
    if slug.is_empty() { "root".to_owned() } else { slug }
}

fn unique(name: String, taken: &mut BTreeSet<String>) -> String {
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    let free = std::iter::once(name.clone()).chain(numbered).find(|name| !taken.contains(name)).unwrap_or(name);
    taken.insert(free.clone());
    free
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_becomes_an_expression_that_matches_it_and_nothing_else() {
        for (base, path, regex) in [
            ("/v1", "/payments/{id}", "~/v1/payments/[^/]+$"),
            ("", "/a.b/{x}:run", "~/a\\.b/[^/]+:run$"),
            ("/pay", "/", "~/pay/$"),
            ("", "/{a}-{b}/c", "~/[^/]+-[^/]+/c$"),
        ] {
            assert_eq!(super::regex(base, path), regex);
            assert_eq!(crate::kong::path_fault(regex), None);
        }
    }

    #[test]
    fn names_of_routes_are_told_apart() {
        let mut taken = BTreeSet::new();
        let mut name = |path| unique(format!("s.{}", slug(path)), &mut taken);
        let names = [name("/a/{b}"), name("/a/b"), name("/"), name("/{a}/b")];
        assert_eq!(names, ["s.a-b", "s.a-b-2", "s.root", "s.a-b-3"]);
    }
}
