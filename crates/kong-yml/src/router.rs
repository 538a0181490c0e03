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
    /// The path, without query, as [`normalize`](crate::uri::normalize) leaves it.
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

/// How a candidate fits a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// It does; so many bytes of the path were matched.
    Fits {
        /// Bytes.
        matched: usize,
    },
    /// Its path does not.
    Path,
    /// Its path does; its methods do not.
    Method,
    /// Its path and methods do; its hosts do not.
    Host,
}

/// A route, by one of its paths, against a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weighed {
    /// Index into [`KongYml::routes`].
    pub route: usize,
    /// The path that was tried: a prefix, or a regular expression after a `~`; `None` where the route has none.
    pub path: Option<String>,
    /// How it fits.
    pub fit: Fit,
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
    /// The path as the file has it.
    pattern: Option<String>,
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
            for (path, pattern) in paths(route) {
                let key = rank(route, &path, index);
                let methods = route.methods.clone();
                let hosts = route.hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
                candidates.push((key, Candidate { route: index, path, pattern, methods, hosts }));
            }
        }
        candidates.sort_by_key(|(key, _)| *key);
        Self { candidates: candidates.into_iter().map(|(_, candidate)| candidate).collect() }
    }

    /// The first route that fits, or none (Kong answers 404).
    pub fn route(&self, request: RequestLine<'_>) -> Option<Match> {
        self.candidates.iter().find_map(|candidate| match candidate.fit(request) {
            Fit::Fits { matched } => Some(Match { route: candidate.route, matched }),
            Fit::Method | Fit::Host | Fit::Path => None,
        })
    }

    /// How each candidate fits, in the order in which Kong tries them: the first that fits is the route. A route with several
    /// paths is several candidates.
    pub fn weigh<'a>(&'a self, request: RequestLine<'a>) -> impl Iterator<Item = Weighed> + 'a {
        self.candidates.iter().map(move |candidate| Weighed {
            route: candidate.route,
            path: candidate.pattern.clone(),
            fit: candidate.fit(request),
        })
    }
}

impl Candidate {
    fn fit(&self, request: RequestLine<'_>) -> Fit {
        let matched = match &self.path {
            PathMatch::Any => Some(0),
            PathMatch::Prefix(prefix) => request.path.starts_with(prefix.as_str()).then_some(prefix.len()),
            PathMatch::Regex(regex) => regex.find(request.path).map(|found| found.end()),
        };
        let Some(matched) = matched else { return Fit::Path };
        if !(self.methods.is_empty() || self.methods.iter().any(|method| method == request.method)) {
            return Fit::Method;
        }
        if !(self.hosts.is_empty() || self.hosts.iter().any(|host| host_fits(host, request.host))) {
            return Fit::Host;
        }
        Fit::Fits { matched }
    }
}

fn paths(route: &Route) -> Vec<(PathMatch, Option<String>)> {
    if route.paths.is_empty() {
        return vec![(PathMatch::Any, None)];
    }
    let parse = |path: &String| {
        let parsed = match path.strip_prefix('~') {
            // The reader has compiled it once already.
            Some(regex) => PathMatch::Regex(Regex::new(&format!("^(?:{regex})")).ok()?),
            None => PathMatch::Prefix(path.clone()),
        };
        Some((parsed, Some(path.clone())))
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
