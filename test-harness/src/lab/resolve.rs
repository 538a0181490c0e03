//! Names → addresses, as `curl --resolve` does it: the one place where the addresses of peers are changed.

use std::str::FromStr;

/// Overrides of host names, in the order given; the first that fits wins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolve {
    entries: Vec<ResolveEntry>,
}

/// One override: `host=address` (the port stays) or `host:port=address:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolveEntry {
    host: String,
    port: Option<u16>,
    to_host: String,
    to_port: Option<u16>,
}

/// Why a `--resolve` argument could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("found {0:?}; allowed: host=address or host:port=address:port, such as peers=127.0.0.1")]
pub struct ResolveError(String);

impl FromStr for ResolveEntry {
    type Err = ResolveError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || ResolveError(text.to_owned());
        let (from, to) = text.split_once('=').ok_or_else(bad)?;
        let (host, port) = host_port(from).ok_or_else(bad)?;
        let (to_host, to_port) = host_port(to).ok_or_else(bad)?;
        Ok(Self { host, port, to_host, to_port })
    }
}

impl Resolve {
    /// Overrides in order.
    pub fn new(entries: Vec<ResolveEntry>) -> Self {
        Self { entries }
    }

    /// Adds an override after those there are.
    pub fn push(&mut self, entry: ResolveEntry) {
        self.entries.push(entry);
    }

    /// Where to connect for `host:port`, as `host:port`.
    pub fn target(&self, host: &str, port: u16) -> String {
        let found = self
            .entries
            .iter()
            .find(|entry| entry.host.eq_ignore_ascii_case(host) && entry.port.is_none_or(|wanted| wanted == port));
        match found {
            Some(entry) => authority(&entry.to_host, entry.to_port.unwrap_or(port)),
            None => authority(host, port),
        }
    }
}

/// `host`, `host:port`, `[v6]` or `[v6]:port`; brackets are taken off.
pub(crate) fn host_port(text: &str) -> Option<(String, Option<u16>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((host.to_owned(), Some(port.parse().ok()?))),
            None => rest.is_empty().then(|| (host.to_owned(), None)),
        };
    }
    match text.split_once(':') {
        Some((host, port)) if !host.is_empty() => Some((host.to_owned(), Some(port.parse().ok()?))),
        Some(_) => None,
        None => (!text.is_empty()).then(|| (text.to_owned(), None)),
    }
}

fn authority(host: &str, port: u16) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(entries: &[&str]) -> Resolve {
        Resolve::new(entries.iter().map(|entry| entry.parse().unwrap()).collect())
    }

    #[test]
    fn the_first_entry_that_fits_wins() {
        let resolve = resolve(&["peers:9080=127.0.0.1:4000", "peers=[::1]"]);
        assert_eq!(resolve.target("peers", 9080), "127.0.0.1:4000");
        assert_eq!(resolve.target("PEERS", 9081), "[::1]:9081");
        assert_eq!(resolve.target("other", 80), "other:80");
    }

    #[test]
    fn what_is_not_understood_says_what_is_allowed() {
        for text in ["peers", "=x", "peers:=x", "peers:http=x", ":1=x", "peers=[::1"] {
            let error = text.parse::<ResolveEntry>().unwrap_err().to_string();
            assert!(error.contains("allowed: host=address"), "{error}");
        }
    }
}
