//! The annotations by which entities say how Kong is to serve them, and those that the filter goes by.

use crate::catalog::Item;
use crate::finding::Finding;
use crate::kong::{host_fault, name_fault, path_fault};
use backstage_kong::catalog::{
    ACCESS, AGENTS, APPROVED_CONSUMERS, KONG_SERVICE, QUOTA_TIER, SERVICE, Terms, WRITE_ACCESS, approved_consumers,
};
use http::Uri;

/// What all of them begin with.
pub const PREFIX: &str = "backstage-kong/";
/// Where Kong sends requests.
pub const UPSTREAM: &str = "backstage-kong/upstream";
/// The paths that Kong takes requests on.
pub const PATHS: &str = "backstage-kong/paths";
/// The hosts that Kong takes requests on.
pub const HOSTS: &str = "backstage-kong/hosts";
/// Whether the path of the route is taken off.
pub const STRIP_PATH: &str = "backstage-kong/strip-path";

/// Those that opt an entity in: it wants to be served by Kong.
pub const OPT_IN: [&str; 5] = [SERVICE, UPSTREAM, PATHS, HOSTS, STRIP_PATH];
/// All that begin with [`PREFIX`].
pub const KNOWN: [&str; 10] =
    [SERVICE, UPSTREAM, PATHS, HOSTS, STRIP_PATH, ACCESS, WRITE_ACCESS, APPROVED_CONSUMERS, AGENTS, QUOTA_TIER];

/// How Kong is to serve an entity, as far as its annotations say.
#[derive(Debug, Default)]
pub struct Serving {
    /// The Kong service's name.
    pub service: Option<String>,
    /// Where requests go: scheme, host, perhaps port and path.
    pub upstream: Option<Uri>,
    /// Prefixes of paths.
    pub paths: Vec<String>,
    /// Host names.
    pub hosts: Vec<String>,
    /// Whether the prefix is taken off.
    pub strip_path: Option<bool>,
}

/// Whether an entity opts in: it can be called, and has one of the annotations of [`OPT_IN`].
pub fn opts_in(item: &Item) -> bool {
    matches!(item.reference.kind(), "api" | "component" | "resource" | "system")
        && OPT_IN.iter().any(|name| item.annotation(name).is_some())
}

/// What annotations say of serving an entity, and what is wrong with them.
pub fn serving(item: &Item) -> (Serving, Vec<Finding>) {
    let mut findings = Vec::new();
    let mut wrong = |name: &str, found: &str, problem: &str| {
        findings.push(Finding::error(item.place_of_annotation(name), format!("{name}: {found:?} {problem}")));
    };
    let mut serving = Serving::default();
    for name in [KONG_SERVICE, SERVICE] {
        let Some(service) = item.annotation(name) else { continue };
        match name_fault(service) {
            Some(problem) => wrong(name, service, problem),
            None => serving.service = Some(service.to_owned()),
        }
    }
    if let Some(text) = item.annotation(UPSTREAM) {
        match upstream(text) {
            Some(upstream) => serving.upstream = Some(upstream),
            None => wrong(
                UPSTREAM,
                text,
                "is no upstream: http://host, http://host:port or http://host:port/path is, or https",
            ),
        }
    }
    for (name, list, fault) in [
        (PATHS, &mut serving.paths, prefix_fault as fn(&str) -> Option<&'static str>),
        (HOSTS, &mut serving.hosts, host_fault),
    ] {
        for text in item.annotation(name).into_iter().flat_map(|text| text.split(',')).map(str::trim) {
            match fault(text) {
                Some(problem) => wrong(name, text, problem),
                None if list.iter().any(|known| known == text) => wrong(name, text, "is there twice"),
                None => list.push(text.to_owned()),
            }
        }
    }
    match item.annotation(STRIP_PATH) {
        None => {}
        Some("true") => serving.strip_path = Some(true),
        Some("false") => serving.strip_path = Some(false),
        Some(text) => wrong(STRIP_PATH, text, "is neither \"true\" nor \"false\""),
    }
    (serving, findings)
}

/// The address of an upstream.
pub fn upstream(text: &str) -> Option<Uri> {
    let uri: Uri = text.parse().ok()?;
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    let is_plain = uri.query().is_none() && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    let fits =
        is_http && is_plain && uri.host().is_some_and(|host| !host.is_empty()) && path_fault(uri.path()).is_none();
    fits.then_some(uri)
}

/// A regular expression in an annotation could take the place of other routes.
fn prefix_fault(path: &str) -> Option<&'static str> {
    if path.starts_with('~') { Some("is a regular expression; only prefixes may stand here") } else { path_fault(path) }
}

/// What is wrong with an entity's annotations.
pub fn findings(item: &Item) -> Vec<Finding> {
    let (_, mut findings) = serving(item);
    if let Err(error) = Terms::parse(|name| item.annotation(name)) {
        let place = item.place_of_annotation(error.annotation);
        findings.push(Finding::error(place, format!("{}: {}; nobody may call it", error.annotation, error.problem)));
    }
    if let Some(Err(error)) = item.annotation(APPROVED_CONSUMERS).map(approved_consumers) {
        let place = item.place_of_annotation(APPROVED_CONSUMERS);
        let message = format!("{APPROVED_CONSUMERS}: {}; it approves no consumer", error.problem);
        findings.push(Finding::error(place, message));
    }
    for entry in item.annotation_entries().iter().filter(|entry| is_ours(&entry.key)) {
        let place = item.line(entry.line);
        if !KNOWN.contains(&entry.key.as_str()) && entry.key != KONG_SERVICE {
            findings
                .push(Finding::error(place, format!("no annotation is called {}", entry.key)).fix(instead(&entry.key)));
        } else if entry.value.text().is_none() {
            let message = format!("{} is no text, so Backstage refuses the entity", entry.key);
            findings.push(Finding::error(place, message).fix("put it in quotes"));
        }
    }
    findings
}

/// Whether an annotation is one of ours, or is meant to be.
fn is_ours(name: &str) -> bool {
    let prefix = name.split('/').next().unwrap_or_default();
    name == KONG_SERVICE || name.contains('/') && strsim::damerau_levenshtein(prefix, PREFIX.trim_end_matches('/')) <= 2
}

fn instead(name: &str) -> String {
    let distance = |known: &&&str| strsim::damerau_levenshtein(name, known);
    match KNOWN.iter().min_by_key(distance) {
        Some(nearest) if distance(&nearest) <= 6 => format!("did you mean {nearest}?"),
        _ => format!("known are {}", KNOWN.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_annotations_has_all_of_them_and_no_others() {
        let rows =
            include_str!("../docs/annotations.md").lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        let mut listed: Vec<_> =
            rows.map(|(name, _)| name).filter(|name| name.starts_with(PREFIX) || *name == KONG_SERVICE).collect();
        let mut known: Vec<_> = KNOWN.into_iter().chain([KONG_SERVICE]).collect();
        listed.sort_unstable();
        // A tier is what both APIs and groups can have.
        listed.dedup();
        known.sort_unstable();
        assert_eq!(listed, known);
    }

    #[test]
    fn upstreams_are_addresses_without_secrets_and_queries() {
        for (text, fits) in [
            ("http://a", true),
            ("https://a.example:8443/v1", true),
            ("http://[::1]:80", true),
            ("a:80", false),
            ("http://", false),
            ("http://user:secret@a", false),
            ("http://a/?x=1", false),
            ("http://a//b", false),
            ("grpc://a", false),
        ] {
            assert_eq!(upstream(text).is_some(), fits, "{text}");
        }
    }
}
