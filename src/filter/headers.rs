//! The headers of the request at hand, and what the host tells of where it goes.

use super::host::property;
use super::pairs::Pairs;
use crate::host::{Names, RequestHeaders, joined};
use crate::tags::Value;
use proxy_wasm::hostcalls;
use proxy_wasm::types::MapType;
use serde::Deserialize;
use std::borrow::Cow;
use std::cell::OnceCell;

/// Most headers of a request that Kong can list: a hundred, four of which it adds itself (`:method` and others). Its buffer for
/// more has the wrong size, and a client chooses how many it sends.
const KONG_LISTS: usize = 100 - 4;

/// The headers of the request at hand, all in one call where that is safe: their names are needed to tell which to remove.
pub(super) struct Headers {
    /// Whether the host is Kong, whose `:path` nginx has decoded and normalised already: `/a%2F..%2Fb` would read as `/b`.
    is_kong: bool,
    /// How many there are, by the host's count. Kong's does not have what it adds.
    count: usize,
    all: OnceCell<Option<Pairs>>,
    /// The route's name: a catalog and an audit line both ask, and it is a dear property.
    route: OnceCell<Option<String>>,
}

impl Headers {
    pub(super) fn new(is_kong: bool, count: usize) -> Self {
        Self { is_kong, count, all: OnceCell::new(), route: OnceCell::new() }
    }

    fn all(&self) -> Option<&Pairs> {
        let is_safe = !self.is_kong || self.count <= KONG_LISTS;
        self.all.get_or_init(|| if is_safe { Pairs::of_request() } else { None }).as_ref()
    }

    /// Removes headers and sets others. Envoy would take them all in one call too, but to build its map anew costs it more
    /// than a call for each that changes.
    pub(super) fn edit(&self, remove: &[Cow<'static, str>], set: &[(&'static str, Value)]) {
        let all = self.all();
        let lines = |name: &str| all.map(|all| all.values(name).count());
        for name in remove.iter().filter(|name| lines(name) != Some(0)) {
            let _ = hostcalls::remove_map_value(MapType::HttpRequestHeaders, name);
        }
        for (name, value) in set {
            // A host may set one line of several and leave the others.
            if lines(name).is_some_and(|lines| lines > 1) {
                let _ = hostcalls::remove_map_value(MapType::HttpRequestHeaders, name);
            }
            let _ = hostcalls::set_map_value(MapType::HttpRequestHeaders, name, Some(value));
        }
    }
}

impl RequestHeaders for Headers {
    fn get(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        if self.is_kong && name == ":path" {
            return property(&["request", "path"]).map(Cow::Owned);
        }
        match self.all() {
            None => hostcalls::get_map_value_bytes(MapType::HttpRequestHeaders, name).ok().flatten().map(Cow::Owned),
            Some(all) => joined(name, all.values(name)),
        }
    }

    fn names(&self) -> Option<Names<'_>> {
        self.all().map(|all| Box::new(all.names()) as Names<'_>)
    }

    fn route(&self) -> Option<String> {
        let route = || name(if self.is_kong { &["kong", "route_name"] } else { &["xds", "route_name"] });
        self.route.get_or_init(route).clone()
    }

    fn service(&self) -> Option<String> {
        name(if self.is_kong { &["kong", "service_name"] } else { &["xds", "cluster_name"] })
    }

    fn tags(&self) -> Vec<String> {
        if !self.is_kong {
            return Vec::new();
        }
        [["kong", "router", "route"], ["kong", "router", "service"]].iter().flat_map(|path| tags(path)).collect()
    }

    /// Kong reads nginx's `$remote_addr`, which `trusted_ips` and `real_ip_header` act on; Envoy adds the port, and has
    /// looked at `x-forwarded-for` as its `xff_num_trusted_hops` says.
    fn client(&self) -> Option<String> {
        String::from_utf8(property(&["source", "address"])?).ok()
    }
}

fn name(path: &[&str]) -> Option<String> {
    String::from_utf8(property(path)?).ok().filter(|name| !name.is_empty())
}

/// The tags of what Kong gives as JSON, a route or a service.
fn tags(path: &[&str]) -> Vec<String> {
    #[derive(Deserialize)]
    struct Tagged {
        tags: Option<Vec<String>>,
    }
    let json = property(path).unwrap_or_default();
    serde_json::from_slice(&json).ok().and_then(|tagged: Tagged| tagged.tags).unwrap_or_default()
}
