//! Which route a request belongs to: the rules of Kong's traditional router, for the fields this reader knows.

use super::{KongYml, Route};
use regex_lite::Regex;
use std::cmp::Reverse;

/// What the router looks at.
#[derive(Debug, Clone, Copy)]
pub struct RequestLine<'a> {
    /// The method.
    pub method: &'a str,
    /// The `Host` header, with or without a port.
    pub host: &'a str,
    /// The path, without query, as [`normalize`](crate::lab::uri::normalize) leaves it.
    pub path: &'a str,
}

/// The route of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Match {
    /// Index into [`KongYml::routes`].
    pub route: usize,
    /// How many bytes of the path the route's path matched.
    pub matched: usize,
}

/// Routes, best candidates first.
#[derive(Debug)]
pub struct Router {
    candidates: Vec<Candidate>,
}

#[derive(Debug)]
struct Candidate {
    route: usize,
    path: PathMatch,
    methods: Vec<String>,
    hosts: Vec<String>,
}

#[derive(Debug)]
enum PathMatch {
    Any,
    Prefix(String),
    Regex(Regex),
}

impl Router {
    /// Sorts the routes as Kong does: more kinds of condition first, then regular expressions by priority, then longer
    /// paths, then the order of the file.
    pub fn new(config: &KongYml) -> Self {
        let mut candidates = Vec::new();
        for (index, route) in config.routes.iter().enumerate() {
            for path in paths(route) {
                let key = rank(route, &path, index);
                let methods = route.methods.clone();
                let hosts = route.hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
                candidates.push((key, Candidate { route: index, path, methods, hosts }));
            }
        }
        candidates.sort_by_key(|(key, _)| *key);
        Self { candidates: candidates.into_iter().map(|(_, candidate)| candidate).collect() }
    }

    /// The first route that fits, or none (Kong answers 404).
    pub fn route(&self, request: RequestLine<'_>) -> Option<Match> {
        self.candidates.iter().find_map(|candidate| {
            let fits = (candidate.methods.is_empty() || candidate.methods.iter().any(|m| m == request.method))
                && (candidate.hosts.is_empty() || candidate.hosts.iter().any(|host| host_fits(host, request.host)));
            if !fits {
                return None;
            }
            let matched = match &candidate.path {
                PathMatch::Any => Some(0),
                PathMatch::Prefix(prefix) => request.path.starts_with(prefix.as_str()).then_some(prefix.len()),
                PathMatch::Regex(regex) => regex.find(request.path).map(|found| found.end()),
            };
            matched.map(|matched| Match { route: candidate.route, matched })
        })
    }
}

fn paths(route: &Route) -> Vec<PathMatch> {
    if route.paths.is_empty() {
        return vec![PathMatch::Any];
    }
    let parse = |path: &String| match path.strip_prefix('~') {
        // The reader has compiled it once already.
        Some(regex) => Regex::new(&format!("^(?:{regex})")).ok().map(PathMatch::Regex),
        None => Some(PathMatch::Prefix(path.clone())),
    };
    route.paths.iter().filter_map(parse).collect()
}

type Rank = (Reverse<usize>, bool, Reverse<i64>, Reverse<usize>, usize);

fn rank(route: &Route, path: &PathMatch, index: usize) -> Rank {
    let kinds = [!route.paths.is_empty(), !route.methods.is_empty(), !route.hosts.is_empty()];
    let (prefix, priority, length) = match path {
        PathMatch::Any => (true, 0, 0),
        PathMatch::Prefix(prefix) => (true, 0, prefix.len()),
        PathMatch::Regex(_) => (false, route.regex_priority, 0),
    };
    (Reverse(kinds.into_iter().filter(|kind| *kind).count()), prefix, Reverse(priority), Reverse(length), index)
}

fn host_fits(pattern: &str, host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let bare = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host.as_str(),
    };
    let fits = |host: &str| {
        if let Some(suffix) = pattern.strip_prefix('*') {
            host.len() > suffix.len() && host.ends_with(suffix)
        } else if let Some(prefix) = pattern.strip_suffix('*') {
            host.len() > prefix.len() && host.starts_with(prefix)
        } else {
            host == pattern
        }
    };
    fits(bare) || fits(&host)
}
