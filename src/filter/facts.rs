//! What the host tells of the request at hand beside its headers, asked at most once.

use super::host::property;
use crate::host::HostFacts;
use serde::Deserialize;
use std::cell::OnceCell;

/// The facts of the request at hand. Lives as long as the event of its arrival: Kong's properties must not be read after a
/// dispatch.
pub(super) struct Facts {
    is_kong: bool,
    route_id: OnceCell<Option<String>>,
    route: OnceCell<Option<String>>,
    service: OnceCell<Option<String>>,
    tags: OnceCell<Vec<String>>,
    client: OnceCell<Option<String>>,
    request_id: OnceCell<Option<String>>,
}

impl Facts {
    pub(super) fn new(is_kong: bool) -> Self {
        let (route_id, route, service, tags, client, request_id) = Default::default();
        Self { is_kong, route_id, route, service, tags, client, request_id }
    }

    fn either(&self, on_kong: &[&str], on_envoy: &[&str]) -> Option<String> {
        text(if self.is_kong { on_kong } else { on_envoy })
    }
}

fn text(path: &[&str]) -> Option<String> {
    String::from_utf8(property(path)?).ok().filter(|value| !value.is_empty())
}

impl HostFacts for Facts {
    fn route_id(&self) -> Option<&str> {
        let read = || self.either(&["kong", "route_id"], &["xds", "route_name"]);
        self.route_id.get_or_init(read).as_deref()
    }

    fn route(&self) -> Option<&str> {
        if !self.is_kong {
            return self.route_id();
        }
        let read = || text(&["kong", "route_name"]);
        self.route.get_or_init(read).as_deref()
    }

    fn service(&self) -> Option<&str> {
        let read = || self.either(&["kong", "service_name"], &["xds", "cluster_name"]);
        self.service.get_or_init(read).as_deref()
    }

    fn tags(&self) -> &[String] {
        self.tags.get_or_init(|| {
            let of_kong: &[&[&str]] = &[&["kong", "router", "route"], &["kong", "router", "service"]];
            let paths = if self.is_kong { of_kong } else { &[] };
            paths.iter().flat_map(|path| tags(path)).collect()
        })
    }

    /// Kong reads nginx's `$remote_addr`, which `trusted_ips` and `real_ip_header` act on; Envoy adds the port, and has
    /// looked at `x-forwarded-for` as its `xff_num_trusted_hops` says.
    fn client(&self) -> Option<&str> {
        self.client.get_or_init(|| text(&["source", "address"])).as_deref()
    }

    /// Envoy has its own in `x-request-id`.
    fn request_id(&self) -> Option<&str> {
        let read = || self.is_kong.then(|| text(&["ngx", "kong_request_id"])).flatten();
        self.request_id.get_or_init(read).as_deref()
    }
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
