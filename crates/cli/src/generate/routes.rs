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
    /// One route for each path of its OpenAPI definition, with the methods that are defined, and nothing else. APIs of other
    /// types than `openapi` have one for their prefix.
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
        Routes::PerPath if item.is_openapi() => {
            per_path(item, service, serving, &upstream, &bases, definition.as_ref())
        }
        // What has no paths, such as GraphQL, has its prefix.
        Routes::Prefix | Routes::PerPath => {
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
    // A path that is not taken off has the server's in it.
    let path = if serving.strip_path == Some(false) { "" } else { &server.path };
    let url = format!("{origin}{path}");
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

/// A route for each path of the definition.
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
    let server = definition
        .and_then(|definition| openapi::server(&definition.node))
        .map_or_else(String::new, |server| server.path);
    let before = Before::of(serving, upstream.path().trim_end_matches('/'), bases, &server)
        .map_err(|(message, fix)| Finding::error(item.place_of_annotation(PATHS), message).fix(fix))?;
    let mut names = BTreeSet::new();
    let mut routes = Vec::new();
    for path in &paths {
        let inside = before.prefixes.iter().filter(|prefix| {
            let whole = format!("{prefix}{}", path.path);
            serving.strip_path != Some(false)
                || serving.paths.is_empty()
                || bases.iter().any(|base| is_below(&whole, base))
        });
        let regexes: Vec<_> = inside.map(|prefix| regex(prefix, &path.path)).collect();
        if regexes.is_empty() {
            continue;
        }
        let literal = path.path.split('/').filter(|segment| !segment.is_empty() && !segment.contains('{')).count();
        routes.push(Route {
            name: unique(format!("{service}.{}", slug(&path.path)), &mut names),
            hosts: serving.hosts.clone(),
            methods: methods(path),
            paths: regexes,
            regex_priority: Some(literal),
            strip_path: false,
            tags: tags(&item.reference),
        });
    }
    if routes.is_empty() {
        let message = format!("no path of the definition is below {}", bases.join(" or "));
        return Err(Finding::error(item.place_of_annotation(PATHS), message).fix("say the paths that clients call"));
    }
    Ok(Routed { url: url(upstream, &before.kept), routes })
}

/// What stands before the paths of a definition. Kong takes off what a regular expression matches, which would be all: so
/// such routes keep the path, and the rest of it has to be the upstream's.
struct Before {
    /// On the way in, one for each base.
    prefixes: Vec<String>,
    /// What Kong puts before all that.
    kept: String,
}

impl Before {
    fn of(serving: &Serving, upstream: &str, bases: &[String], server: &str) -> Result<Self, (String, String)> {
        if serving.strip_path == Some(false) {
            // The upstream is called by the path that the definition says.
            let prefix = server.strip_prefix(upstream).ok_or_else(|| {
                let message =
                    format!("the upstream's path {upstream:?} is no beginning of the first server's, {server:?}");
                (message, format!("take it out of {UPSTREAM}"))
            })?;
            return Ok(Self { prefixes: vec![prefix.to_owned()], kept: upstream.to_owned() });
        }
        let prefixes: Vec<_> = bases.iter().map(|base| base.trim_end_matches('/').to_owned()).collect();
        let mut kept = prefixes.iter().map(|base| upstream.strip_suffix(base.as_str()));
        match kept.next().flatten() {
            Some(first) if kept.all(|other| other == Some(first)) => {
                Ok(Self { kept: first.to_owned(), prefixes: prefixes.clone() })
            }
            _ => {
                let message = format!(
                    "a route for each path cannot put the upstream's path {upstream:?} in the place of {}",
                    bases.join(" or ")
                );
                Err((message, format!("make the upstream's path end in it, or say {STRIP_PATH}: \"false\"")))
            }
        }
    }
}

fn is_below(path: &str, base: &str) -> bool {
    let base = base.trim_end_matches('/');
    path.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
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
