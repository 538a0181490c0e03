//! Routes → Envoy's bootstrap, as JSON.

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The filter's metadata: its label patterns are Envoy's `stats_tags` as they stand.
const METADATA: &str = include_str!("../../../kong/filters/backstage_kong.meta.json");

const HTTP_CONNECTION_MANAGER: &str =
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
const ROUTER: &str = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
const FILTER_CONFIG: &str = "type.googleapis.com/envoy.config.route.v3.FilterConfig";
const TLS: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
const STRING_VALUE: &str = "type.googleapis.com/google.protobuf.StringValue";

/// One route of the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteSpec {
    /// Its name: what the filter reads as `xds.route_name`.
    pub name: String,
    /// Requests whose raw path starts with this belong to it, as in Kong; of several, the longest counts.
    pub path_prefix: String,
    /// `host:port` of the upstream; also the name of its cluster.
    pub upstream: String,
    /// Whether the prefix is taken off the path sent upstream.
    pub strip_path: bool,
    /// The filter's configuration; `None` for a route without the filter.
    pub filter_config: Option<String>,
}

/// What Envoy does with requests after the filter has trapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FailurePolicy {
    /// Answers 503 until it is restarted, which makes a trap hard to overlook: for tests.
    #[default]
    Closed,
    /// Answers 503 while it makes a new VM: for production.
    Reload,
}

/// How Envoy speaks TLS to a cluster: by the cluster's settings, whatever scheme the filter names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterTls {
    /// The authorities that may vouch for it, a PEM file.
    pub authorities: PathBuf,
    /// The name it is asked for (SNI) and must have.
    pub name: String,
}

/// What Envoy is started with.
#[derive(Debug, Clone)]
pub struct Bootstrap {
    /// The compiled filter.
    pub wasm: PathBuf,
    /// Where requests come in; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The routes.
    pub routes: Vec<RouteSpec>,
    /// Addresses of upstreams and dispatch targets by their `host:port`, which are cluster names here. The same text
    /// stands in the filter's `upstream` setting for Kong and for Envoy.
    pub clusters: BTreeMap<String, SocketAddr>,
    /// Those of them that speak TLS.
    pub tls: BTreeMap<String, ClusterTls>,
    /// What happens after a trap.
    pub failure_policy: FailurePolicy,
}

impl Default for Bootstrap {
    /// No routes and no clusters, on a free port of the loopback.
    fn default() -> Self {
        Self {
            wasm: PathBuf::new(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            routes: Vec::new(),
            clusters: BTreeMap::new(),
            tls: BTreeMap::new(),
            failure_policy: FailurePolicy::Closed,
        }
    }
}

impl Bootstrap {
    /// The bootstrap as Envoy reads it with `-c`.
    pub fn to_json(&self) -> Value {
        json!({
            "node": {"id": "backstage-kong", "cluster": "test"},
            "admin": {"address": address(SocketAddr::from(([127, 0, 0, 1], 0)))},
            "stats_config": {"stats_tags": stats_tags()},
            "static_resources": {
                "listeners": [self.listener()],
                "clusters": self.clusters.iter().map(|(name, at)| cluster(name, *at, self.tls.get(name))).collect::<Vec<_>>(),
            },
        })
    }

    fn listener(&self) -> Value {
        let mut filters: Vec<_> = self.routes.iter().filter_map(|route| self.filter(route)).collect();
        filters.push(json!({"name": "envoy.filters.http.router", "typed_config": {"@type": ROUTER}}));
        json!({
            "name": "gateway",
            "address": address(self.listen),
            "filter_chains": [{"filters": [{
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": {
                    "@type": HTTP_CONNECTION_MANAGER,
                    "stat_prefix": "gateway",
                    // The filter reads paths and headers as the client sent them, and normalises by itself.
                    "normalize_path": false,
                    "merge_slashes": false,
                    "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
                    "common_http_protocol_options": {"headers_with_underscores_action": "ALLOW"},
                    "route_config": {
                        "name": "routes",
                        "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": self.routes()}],
                    },
                    "http_filters": filters,
                },
            }]}],
        })
    }

    /// Longest prefix first: Envoy takes the first that matches, Kong the longest.
    fn routes(&self) -> Vec<Value> {
        let mut routes: Vec<_> = self.routes.iter().collect();
        routes.sort_by_key(|route| std::cmp::Reverse(route.path_prefix.len()));
        routes.into_iter().map(route).collect()
    }

    fn filter(&self, route: &RouteSpec) -> Option<Value> {
        let configuration = route.filter_config.as_ref()?;
        let failure_policy = match self.failure_policy {
            FailurePolicy::Closed => "FAIL_CLOSED",
            FailurePolicy::Reload => "FAIL_RELOAD",
        };
        Some(json!({
            "name": filter_name(route),
            "disabled": true,
            "typed_config": {
                "@type": WASM,
                "config": {
                    "name": route.name,
                    "root_id": "backstage_kong",
                    "failure_policy": failure_policy,
                    // The same for every route, so that a worker thread has one VM for all of them.
                    "vm_config": {
                        "vm_id": "backstage_kong",
                        "runtime": "envoy.wasm.runtime.v8",
                        "code": {"local": {"filename": self.wasm}},
                    },
                    "configuration": {"@type": STRING_VALUE, "value": configuration},
                },
            },
        }))
    }
}

fn filter_name(route: &RouteSpec) -> String {
    format!("backstage_kong.{}", route.name)
}

fn route(route: &RouteSpec) -> Value {
    let mut action = json!({"cluster": route.upstream, "timeout": "15s"});
    if route.strip_path {
        let rewrite = json!({"pattern": {"regex": format!("^{}/?", escaped(&route.path_prefix))}, "substitution": "/"});
        insert(&mut action, "regex_rewrite", rewrite);
    }
    let mut entry = json!({
        "name": route.name,
        "match": {"prefix": route.path_prefix},
        "route": action,
    });
    if route.filter_config.is_some() {
        let mut enabled = Map::new();
        enabled.insert(filter_name(route), json!({"@type": FILTER_CONFIG, "config": {}}));
        insert(&mut entry, "typed_per_filter_config", Value::Object(enabled));
    }
    entry
}

fn insert(object: &mut Value, name: &str, value: Value) {
    if let Some(members) = object.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
}

/// The prefix as a regular expression (RE2) that matches it and nothing else.
fn escaped(prefix: &str) -> String {
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    prefix.chars().flat_map(|c| [(!c.is_alphanumeric() && c != '/').then_some('\\'), Some(c)]).flatten().collect()
}

fn cluster(name: &str, at: SocketAddr, tls: Option<&ClusterTls>) -> Value {
    let mut cluster = json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "2s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(at)}}]}],
        },
    });
    if let Some(ClusterTls { authorities, name }) = tls {
        let names = json!([{"san_type": "DNS", "matcher": {"exact": name}}]);
        let validation = json!({"trusted_ca": {"filename": authorities}, "match_typed_subject_alt_names": names});
        let context = json!({"@type": TLS, "sni": name, "common_tls_context": {"validation_context": validation}});
        insert(
            &mut cluster,
            "transport_socket",
            json!({"name": "envoy.transport_sockets.tls", "typed_config": context}),
        );
    }
    cluster
}

fn address(at: SocketAddr) -> Value {
    json!({"socket_address": {"address": at.ip().to_string(), "port_value": at.port()}})
}

fn stats_tags() -> Vec<Value> {
    let metadata: Value = serde_json::from_str(METADATA).unwrap_or_default();
    let patterns = metadata.pointer("/metrics/label_patterns").and_then(Value::as_array);
    patterns.into_iter().flatten().map(|p| json!({"tag_name": p.get("label"), "regex": p.get("pattern")})).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, path_prefix: &str, strip_path: bool, config: Option<&str>) -> RouteSpec {
        RouteSpec {
            name: name.to_owned(),
            path_prefix: path_prefix.to_owned(),
            upstream: "peers:9080".to_owned(),
            strip_path,
            filter_config: config.map(str::to_owned),
        }
    }

    fn bootstrap() -> Value {
        let routes = vec![
            spec("all", "/", false, None),
            spec("payments", "/payments", true, Some("{\"entity\":\"api:default/payments\"}")),
            spec("orders", "/payments/v2.0", false, Some("{}")),
        ];
        let clusters = [("peers:9080".to_owned(), SocketAddr::from(([127, 0, 0, 1], 9080)))].into();
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let wasm = "backstage_kong.wasm".into();
        Bootstrap { wasm, listen, routes, clusters, ..Bootstrap::default() }.to_json()
    }

    fn manager(bootstrap: &Value) -> &Value {
        bootstrap.pointer("/static_resources/listeners/0/filter_chains/0/filters/0/typed_config").unwrap()
    }

    #[test]
    fn each_filter_runs_only_for_its_own_route() {
        let bootstrap = bootstrap();
        let filters = manager(&bootstrap)["http_filters"].as_array().unwrap();
        let names: Vec<_> = filters.iter().map(|filter| filter["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["backstage_kong.payments", "backstage_kong.orders", "envoy.filters.http.router"]);
        assert!(filters[..2].iter().all(|filter| filter["disabled"] == true));
        for route in manager(&bootstrap).pointer("/route_config/virtual_hosts/0/routes").unwrap().as_array().unwrap() {
            let enabled: Vec<_> =
                route.get("typed_per_filter_config").and_then(Value::as_object).into_iter().flatten().collect();
            match route["name"].as_str().unwrap() {
                "all" => assert!(enabled.is_empty()),
                name => assert_eq!(enabled[0].0, &format!("backstage_kong.{name}")),
            }
        }
    }

    #[test]
    fn the_longest_prefix_comes_first() {
        let bootstrap = bootstrap();
        let routes = manager(&bootstrap).pointer("/route_config/virtual_hosts/0/routes").unwrap().as_array().unwrap();
        let names: Vec<_> = routes.iter().map(|route| route["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["orders", "payments", "all"]);
    }

    #[test]
    fn a_stripped_prefix_leaves_one_slash() {
        let bootstrap = bootstrap();
        let routes = manager(&bootstrap).pointer("/route_config/virtual_hosts/0/routes").unwrap().as_array().unwrap();
        assert_eq!(routes[1].pointer("/route/regex_rewrite/pattern/regex").unwrap(), "^/payments/?");
        assert!(routes[0].pointer("/route/regex_rewrite").is_none());
        assert_eq!(escaped("/v2.0/a-b/"), "/v2\\.0/a\\-b");
    }

    #[test]
    fn all_filters_share_one_vm() {
        let bootstrap = bootstrap();
        let filters = manager(&bootstrap)["http_filters"].as_array().unwrap();
        let vm = |filter: &Value| filter.pointer("/typed_config/config/vm_config").cloned().unwrap();
        assert_eq!(vm(&filters[0]), vm(&filters[1]));
    }

    #[test]
    fn metric_labels_come_from_the_filters_metadata() {
        let bootstrap = bootstrap();
        let tags = bootstrap.pointer("/stats_config/stats_tags").unwrap().as_array().unwrap();
        assert_eq!(tags[0], json!({"tag_name": "entity", "regex": "(;entity=([^;]+))"}));
    }
}
