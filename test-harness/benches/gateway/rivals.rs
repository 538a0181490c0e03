//! What is compared: chains of filters in one Envoy worker, in front of a route that answers by itself.

use crate::load::{Tokens, lazily};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use test_harness::built_filter;
use test_harness::envoy::{Bootstrap, Envoy, RouteSpec, find_binary};
use test_harness::lab::peers::{Forgery, KeyKind, Mint, SigningKeys, TokenSpec};

/// What the others are compared with, at the same rate.
const NOTHING: &str = "no filter";
const NOTHING_SLOWLY: &str = "no filter, at the rate of new tokens";
const HOT_RATE: f64 = 3000.0;
const COLD_RATE: f64 = 400.0;
/// A Wasm filter that does nothing, and one that makes this filter's host calls and does nothing else.
const IDLE: [&str; 2] = ["idle.wasm", include_str!("idle.wat")];
const CALLS: [&str; 2] = ["calls.wasm", include_str!("calls.wat")];
const ISSUER: &str = "https://idp.example";
const EXTENSIONS: &str = "type.googleapis.com/envoy.extensions.filters.http";

/// One chain, with what is sent through it.
pub(crate) struct Rival {
    pub(crate) name: String,
    pub(crate) config: Value,
    pub(crate) tokens: Tokens,
    /// Requests a round before the measured ones, so that all code is compiled and in caches and one token known, and
    /// measured ones.
    pub(crate) warm_up: usize,
    pub(crate) count: usize,
    /// Requests a second, the same for all that are compared: a busier server handles more at each wake-up, and so makes
    /// each cheaper.
    pub(crate) rate: f64,
    pub(crate) status: u16,
    /// Answers that may have another status.
    pub(crate) others: usize,
    /// Whether it is another build, to be measured whatever else is.
    pub(crate) is_beside: bool,
}

impl Rival {
    /// Whether it is the chain without a filter that one at this rate is compared with.
    pub(crate) fn is_nothing(&self, rate: f64) -> bool {
        self.rate == rate && [NOTHING, NOTHING_SLOWLY].contains(&self.name.as_str())
    }
}

/// How much is sent: rounds, and how much in each.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) rounds: usize,
    /// Of requests whose token was seen before.
    pub(crate) hot: usize,
    /// Of requests whose token is new.
    pub(crate) cold: usize,
}

/// All chains; `beside` are other builds of the filter.
pub(crate) fn rivals(size: Size, beside: &[PathBuf]) -> Vec<Rival> {
    let keys = Arc::new(SigningKeys::generate().unwrap());
    let hot = tokens(&keys, KeyKind::Rs256, 1, None);
    let rival = |name: &str, natives: &[Value], filter: Option<Value>, tokens: &Tokens| {
        let is_hot = Arc::ptr_eq(tokens, &hot);
        let (warm_up, count, rate) =
            if is_hot { (size.hot / 4, size.hot, HOT_RATE) } else { (size.cold / 4, size.cold, COLD_RATE) };
        Rival {
            name: name.to_owned(),
            config: envoy(natives, filter),
            tokens: Arc::clone(tokens),
            warm_up,
            count,
            rate,
            status: 200,
            others: 0,
            is_beside: false,
        }
    };
    let with = |name: &str, module, config| Rival {
        config: behind(module, Some(config), BTreeMap::new()),
        ..rival(name, &[], None, &hot)
    };
    let plain = |name, module| with(name, assembled(module), json!({}));
    let slowly = |rival: Rival| Rival { warm_up: size.cold / 4, count: size.cold, rate: COLD_RATE, ..rival };
    let new = |kind, forge| tokens(&keys, kind, size.rounds * (size.cold / 4 + size.cold), forge);
    let (new_rs256, new_es256) = (new(KeyKind::Rs256, None), new(KeyKind::Es256, None));
    let forged = new(KeyKind::Rs256, Some(Forgery::StrangerKey));
    let ours = || Some(filter(&keys, 1.0));
    let mut all = vec![
        // With the token, for to receive it is no filter's doing.
        rival(NOTHING, &[], None, &hot),
        rival("jwt_authn as shipped", &[jwt_authn(&keys, false)], None, &hot),
        rival(
            "jwt_authn with cache, rbac, local_ratelimit",
            &[jwt_authn(&keys, true), rbac(), local_ratelimit()],
            None,
            &hot,
        ),
        plain("a Wasm filter that does nothing", IDLE),
        plain("a Wasm filter with this one's host calls and no more", CALLS),
        rival("this filter, token seen before", &[], ours(), &hot),
        rival("this filter, token seen before, no audit of passes", &[], Some(filter(&keys, 0.0)), &hot),
        slowly(rival(NOTHING_SLOWLY, &[], None, &hot)),
        rival("jwt_authn, every token new, RS256", &[jwt_authn(&keys, false)], None, &new_rs256),
        rival("jwt_authn, every token new, ES256", &[jwt_authn(&keys, false)], None, &new_es256),
        rival("this filter, every token new, RS256", &[], ours(), &new_rs256),
        rival("this filter, every token new, ES256", &[], ours(), &new_es256),
        Rival {
            status: 401,
            ..rival("jwt_authn, a flood of forged tokens, RS256", &[jwt_authn(&keys, false)], None, &forged)
        },
        // Ten a second are looked at.
        Rival {
            status: 429,
            others: size.cold / 20,
            ..rival("this filter, a flood of forged tokens, RS256", &[], ours(), &forged)
        },
    ];
    all.extend(beside.iter().flat_map(|module| {
        let name = module.display();
        let beside =
            |name: &str, sampled| Rival { is_beside: true, ..with(name, module.clone(), filter(&keys, sampled)) };
        [
            beside(&format!("{name}, token seen before"), 1.0),
            beside(&format!("{name}, token seen before, no audit of passes"), 0.0),
        ]
    }));
    all
}

fn tokens(keys: &Arc<SigningKeys>, key: KeyKind, count: usize, forge: Option<Forgery>) -> Tokens {
    let keys = keys.clone();
    lazily(move || {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let mint = Mint { issuer: ISSUER, keys: &keys, now: i64::try_from(now).unwrap() };
        let make = |nth: usize| {
            let claims =
                json!({"jti": nth.to_string(), "groups": ["checkout", "payments"]}).as_object().unwrap().clone();
            let spec = TokenSpec {
                user: Some("ada".into()),
                key,
                claims,
                forge,
                expires_in_seconds: Some(7200),
                ..TokenSpec::default()
            };
            Some(mint.token(&spec).unwrap())
        };
        (0..count).map(make).collect()
    })
}

/// Our configuration: owners may call, and each group has a quota that does not end.
fn filter(keys: &SigningKeys, sampled: f64) -> Value {
    json!({
        "entity": "api:default/payments",
        "owner": "group:default/payments",
        "issuers": [{"issuer": ISSUER, "audiences": ["payments"], "jwks": {"keys": keys.public()}}],
        "policy": {"rules": [{"allow": ["owner"]}]},
        "quotas": {"policies": [{"name": "per-group", "per": "group", "windows": ["4000000000/1h"]}]},
        "audit": {"sample_allows": sampled},
    })
}

fn jwt_authn(keys: &SigningKeys, cached: bool) -> Value {
    let mut provider = json!({
        "issuer": ISSUER, "audiences": ["payments"], "payload_in_metadata": "jwt",
        "local_jwks": {"inline_string": json!({"keys": keys.public()}).to_string()},
    });
    if cached {
        provider["jwt_cache_config"] = json!({"jwt_cache_size": 10_000, "jwt_max_token_size": 4096});
    }
    json!({"name": "envoy.filters.http.jwt_authn", "typed_config": {
        "@type": format!("{EXTENSIONS}.jwt_authn.v3.JwtAuthentication"),
        "providers": {"idp": provider},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "idp"}}],
    }})
}

fn rbac() -> Value {
    let is_owner = json!({"metadata": {
        "filter": "envoy.filters.http.jwt_authn",
        "path": [{"key": "jwt"}, {"key": "groups"}],
        "value": {"list_match": {"one_of": {"string_match": {"exact": "payments"}}}},
    }});
    json!({"name": "envoy.filters.http.rbac", "typed_config": {
        "@type": format!("{EXTENSIONS}.rbac.v3.RBAC"),
        "rules": {"action": "ALLOW", "policies": {"owner": {"permissions": [{"any": true}], "principals": [is_owner]}}},
    }})
}

fn local_ratelimit() -> Value {
    let always = |key: &str| json!({"runtime_key": key, "default_value": {"numerator": 100, "denominator": "HUNDRED"}});
    json!({"name": "envoy.filters.http.local_ratelimit", "typed_config": {
        "@type": format!("{EXTENSIONS}.local_ratelimit.v3.LocalRateLimit"),
        "stat_prefix": "limit",
        "token_bucket": {"max_tokens": 4_000_000_000_u32, "tokens_per_fill": 4_000_000_000_u32, "fill_interval": "3600s"},
        "filter_enabled": always("on"), "filter_enforced": always("enforced"),
        "enable_x_ratelimit_headers": "DRAFT_VERSION_03",
    }})
}

fn envoy(natives: &[Value], filter: Option<Value>) -> Value {
    let mut config = answered_directly(filter, BTreeMap::new());
    manager(&mut config)["http_filters"].as_array_mut().unwrap().splice(0..0, natives.iter().cloned());
    config
}

/// A module, from its name and its text.
fn assembled([name, text]: [&str; 2]) -> PathBuf {
    let file = folder().join(name);
    std::fs::create_dir_all(folder()).unwrap();
    std::fs::write(&file, wat::parse_str(text).unwrap()).unwrap();
    file
}

/// Envoy's configuration, whose one route has this filter and answers by itself.
pub(crate) fn answered_directly(filter: Option<Value>, clusters: BTreeMap<String, SocketAddr>) -> Value {
    behind(built_filter().unwrap(), filter, clusters)
}

/// The same with any filter.
fn behind(wasm: PathBuf, filter: Option<Value>, clusters: BTreeMap<String, SocketAddr>) -> Value {
    let route = RouteSpec {
        name: "payments".to_owned(),
        path_prefix: "/".to_owned(),
        upstream: "none".to_owned(),
        strip_path: false,
        filter_config: filter.map(|config| config.to_string()),
    };
    let mut config = Bootstrap { wasm, routes: vec![route], clusters, ..Bootstrap::default() }.to_json();
    let route = manager(&mut config)["route_config"]["virtual_hosts"][0]["routes"][0].as_object_mut().unwrap();
    route.remove("route");
    route.insert("direct_response".to_owned(), json!({"status": 200, "body": {"inline_string": "{}"}}));
    config
}

/// An Envoy with one worker.
pub(crate) fn start(config: &Value) -> Envoy {
    let binary = find_binary(&Path::new(crate::ROOT).join(".venv")).unwrap();
    Envoy::start_configured(&binary, config, 1, &folder()).unwrap()
}

fn folder() -> PathBuf {
    std::env::temp_dir().join(format!("backstage-kong-bench-{}", std::process::id()))
}

/// The settings of the connection manager.
pub(crate) fn manager(config: &mut Value) -> &mut Value {
    &mut config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
}
