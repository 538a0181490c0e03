//! The core's traits over the SDK's host calls.
//!
//! The SDK panics on statuses it does not expect, and a panic takes the worker down in Kong, so every call here is one that
//! both hosts answer with an expected status in the phases in which it is made.

use crate::host::{
    Expect, MetricId, MetricKind, Metrics, RequestHeaders, SharedData, StoreFailed, Stored, UnixMillis, WriteError,
    joined,
};
use crate::tags::Value;
use proxy_wasm::hostcalls;
use proxy_wasm::types::{MapType, MetricType};
use serde::Deserialize;
use std::borrow::Cow;
use std::cell::OnceCell;
use std::rc::Rc;
use std::time::UNIX_EPOCH;

/// A compare-and-swap number that no record has. Kong takes 0 for "only if absent" and refuses any other number on an
/// absent key; Envoy takes 0 for "whatever is there" and any other number for "only if absent" on an absent key.
const NO_VERSION: u32 = u32::MAX;

/// The proxy.
pub(super) struct Host;

/// The clock of the proxy; the epoch where it does not answer.
pub(super) fn now() -> UnixMillis {
    let since_epoch = hostcalls::get_current_time().ok().and_then(|now| now.duration_since(UNIX_EPOCH).ok());
    UnixMillis(since_epoch.map_or(0, |span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
}

/// A property of the request or the node.
pub(super) fn property(path: &[&str]) -> Option<Vec<u8>> {
    hostcalls::get_property(path.to_vec()).ok().flatten()
}

impl SharedData for Host {
    fn get(&self, key: &str) -> Result<Option<Stored>, StoreFailed> {
        match hostcalls::get_shared_data(key) {
            Ok((Some(bytes), version)) => Ok(Some(Stored { bytes, version: version.unwrap_or(0) })),
            Ok((None, _)) => Ok(None),
            Err(_) => Err(StoreFailed),
        }
    }

    fn set(&self, key: &str, value: &[u8], expect: Expect) -> Result<(), WriteError> {
        let set = |cas| hostcalls::set_shared_data(key, Some(value), cas).map_err(|_| WriteError::Changed);
        match expect {
            Expect::Version(version) => set(Some(version)),
            Expect::Absent => set(Some(NO_VERSION)).or_else(|_| match self.get(key) {
                // Still absent: this is Kong, where no number at all means "only if absent".
                Ok(None) => set(None),
                Ok(Some(_)) => Err(WriteError::Changed),
                Err(StoreFailed) => Err(WriteError::Failed),
            }),
        }
    }
}

impl Metrics for Host {
    fn define(&self, kind: MetricKind, name: &str) -> Option<MetricId> {
        let kind = match kind {
            MetricKind::Counter => MetricType::Counter,
            MetricKind::Gauge => MetricType::Gauge,
            MetricKind::Histogram => MetricType::Histogram,
        };
        hostcalls::define_metric(kind, name).ok().map(MetricId)
    }

    fn add(&self, id: MetricId, by: u64) {
        // The only failure is a metric that does not exist, and there is nobody to tell.
        let _ = hostcalls::increment_metric(id.0, i64::try_from(by).unwrap_or(i64::MAX));
    }

    fn record(&self, id: MetricId, value: u64) {
        let _ = hostcalls::record_metric(id.0, value);
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

/// The headers of the request at hand. Envoy gives them all in one call, and their names are needed to tell which to remove.
pub(super) struct Headers {
    /// Whether the host is Kong, which mis-sizes its buffer for lists of more than 100 headers, and whose `:path` nginx has
    /// decoded and normalised already: `/a%2F..%2Fb` would read as `/b`.
    is_kong: bool,
    all: OnceCell<Option<All>>,
    /// The route's name: a catalog and an audit line both ask, and it is a dear property.
    route: OnceCell<Option<String>>,
}

struct All {
    names: Rc<[String]>,
    values: Vec<Vec<u8>>,
}

impl Headers {
    pub(super) fn new(is_kong: bool) -> Self {
        Self { is_kong, all: OnceCell::new(), route: OnceCell::new() }
    }

    fn all(&self) -> Option<&All> {
        let list = || {
            let headers = hostcalls::get_map_bytes(MapType::HttpRequestHeaders).ok()?;
            let (names, values): (Vec<_>, _) = headers.into_iter().unzip();
            Some(All { names: names.into(), values })
        };
        self.all.get_or_init(|| if self.is_kong { None } else { list() }).as_ref()
    }
}

impl Headers {
    /// Removes headers and sets others. Envoy would take them all in one call too, but to build its map anew costs it more
    /// than a call for each that changes.
    pub(super) fn edit(&self, remove: &[Cow<'static, str>], set: &[(&'static str, Value)]) {
        for name in remove.iter().filter(|name| self.lines(name).is_none_or(|lines| lines > 0)) {
            let _ = hostcalls::remove_map_value(MapType::HttpRequestHeaders, name);
        }
        for (name, value) in set {
            // A host may set one line of several and leave the others.
            if self.lines(name).is_some_and(|lines| lines > 1) {
                let _ = hostcalls::remove_map_value(MapType::HttpRequestHeaders, name);
            }
            let _ = hostcalls::set_map_value(MapType::HttpRequestHeaders, name, Some(value));
        }
    }

    /// How many lines the request came with under a name, where they can be listed.
    fn lines(&self, name: &str) -> Option<usize> {
        Some(self.all()?.names.iter().filter(|known| known.eq_ignore_ascii_case(name)).count())
    }
}

impl RequestHeaders for Headers {
    fn get(&self, name: &str) -> Option<Vec<u8>> {
        if self.is_kong && name == ":path" {
            return property(&["request", "path"]);
        }
        match self.all() {
            None => hostcalls::get_map_value_bytes(MapType::HttpRequestHeaders, name).ok().flatten(),
            Some(all) => {
                let pairs = all.names.iter().zip(&all.values);
                let found = pairs.filter(|(known, _)| known.eq_ignore_ascii_case(name));
                joined(name, found.map(|(_, value)| value.as_slice()))
            }
        }
    }

    fn names(&self) -> Option<Rc<[String]>> {
        self.all().map(|all| all.names.clone())
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
