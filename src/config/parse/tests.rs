use super::super::*;
use crate::jose::Algorithm;
use serde_json::{Value, json};
use std::time::Duration;

fn minimal() -> Value {
    json!({
        "entity": "api:default/payments",
        "owner": "payments",
        "issuers": [{"issuer": "https://idp.example", "audiences": ["payments"], "secret": "0123456789abcdef0123456789abcdef"}],
        "policy": {"rules": [{"allow": ["owner"]}]},
        "quotas": {"policies": [{"name": "per-group", "per": "group", "windows": ["600/1m"]}]}
    })
}

fn parse(config: &Value) -> Result<Config, ConfigError> {
    Config::parse(config.to_string().as_bytes())
}

fn changed(pointer: &str, value: Value) -> Value {
    let mut config = minimal();
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    match config.pointer_mut(parent).unwrap() {
        Value::Object(members) => {
            members.insert(field.to_owned(), value);
        }
        Value::Array(items) => items[field.parse::<usize>().unwrap()] = value,
        other => panic!("{other} has no members"),
    }
    config
}

#[test]
fn a_small_configuration_gets_safe_defaults() {
    let config = parse(&minimal()).unwrap();
    assert_eq!(config.owner.unwrap().as_str(), "group:default/payments");
    assert_eq!(config.credentials.header, "authorization");
    assert_eq!(config.credentials.scheme.as_deref(), Some("Bearer"));
    assert!(!config.credentials.forward_token);
    assert_eq!(config.policy.agents, AgentAccess::Deny);
    assert_eq!(config.policy.mode, Mode::Enforce);
    assert_eq!(config.quotas.unwrap().on_store_error, OnStoreError::Deny);
    assert_eq!(config.tags.consumer_headers, ConsumerHeaders::Strip);
    let issuer = &config.issuers[0];
    assert_eq!(issuer.algorithms, [Algorithm::Hs256]);
    assert_eq!(issuer.leeway, Duration::from_secs(30));
    assert!(!issuer.groups.entity_refs && !issuer.users.entity_refs);
}

#[test]
fn an_empty_lua_table_counts_as_an_empty_array() {
    let config = parse(&changed("/consumers", json!({}))).unwrap();
    assert!(config.consumers.is_empty());
}

#[test]
fn every_fault_names_its_path_what_was_found_and_what_is_allowed() {
    let cases = [
        ("/entty", json!("x"), "entty", "unknown field `entty`, expected one of `entity`"),
        ("/entity", json!(7), "entity", "invalid type: integer, expected a string"),
        ("/entity", json!("payments"), "entity", "\"payments\" has no kind"),
        ("/owner", json!("api:default/x"), "owner", "must be a group or a user"),
        ("/consumers", json!(["group:a/b/c"]), "consumers[0]", "invalid name"),
        ("/issuers/0/issuer", json!(""), "issuers[0].issuer", "is empty; it needs the exact `iss`"),
        ("/issuers/0/audiences", json!([]), "issuers[0].audiences", "at least one audience"),
        ("/issuers/0/algorithms", json!(["HS256", "RS256"]), "issuers[0].algorithms[1]", "HS256, HS384, HS512"),
        ("/issuers/0/algorithms", json!(["none"]), "issuers[0].algorithms[0]", "\"none\"; it must be one of an issuer"),
        ("/issuers/0/algorithms", json!([]), "issuers[0].algorithms", "at least one algorithm"),
        (
            "/issuers/0/jwks_uri",
            json!("https://idp.example/keys"),
            "issuers[0]",
            "only one of `jwks`, `jwks_uri`, `discovery_uri`, `secret`, `secrets`",
        ),
        (
            "/issuers/0/upstream",
            json!("idp.example:443"),
            "issuers[0].upstream",
            "only goes with keys that the provider",
        ),
        ("/issuers/0/preset", json!("octa"), "issuers[0].preset", "\"octa\"; it must be one of: auth0"),
        ("/issuers/0/preset", json!(7), "issuers[0].preset", "\"7\"; it must be one of"),
        ("/issuers/0", json!({"issuer": "peers", "audiences": ["a"]}), "issuers[0]", "has no keys; it needs one of"),
        (
            "/issuers/0/claims",
            json!({"service": {"a": 1, "b": 2}}),
            "issuers[0].claims.service",
            "one claim and its value",
        ),
        ("/issuers/0/claims", json!({"client": 7}), "issuers[0].claims.client", "a string or an array of strings"),
        ("/issuers/0/groups", json!({"limit": 0}), "issuers[0].groups.limit", "is 0; it must be from 1 to 1000"),
        ("/issuers/0/userinfo", json!({"uri": "ftp://x"}), "issuers[0].userinfo.uri", "an http or https URL"),
        ("/issuers/0/secrets", json!([]), "issuers[0]", "only one of"),
        ("/issuers/0/leeway_seconds", json!(301), "issuers[0].leeway_seconds", "is 301; it must be from 0 to 300"),
        ("/issuers/0/leeway_seconds", json!(-1), "issuers[0].leeway_seconds", "invalid value: integer, expected u64"),
        ("/issuers/0/kind", json!("robot"), "issuers[0].kind", "unknown variant, expected `user` or `service`"),
        ("/issuers/0/users", json!({"namespace": "a b"}), "issuers[0].users.namespace", "a Backstage namespace"),
        (
            "/issuers/0/groups",
            json!({"table": {"x": "user:default/y"}}),
            "issuers[0].groups.table.x",
            "must be a group",
        ),
        ("/issuers/0/claims", json!({"user": ""}), "issuers[0].claims.user", "the name of a claim"),
        (
            "/policy/rules/0/allow",
            json!(["owners"]),
            "policy.rules[0].allow[0]",
            "anyone, authenticated, owner, consumer",
        ),
        ("/policy/rules/0/allow", json!([{"claims": {}}]), "policy.rules[0].allow[0].claims", "at least one claim"),
        ("/policy/rules/0/methods", json!(["get"]), "policy.rules[0].methods[0]", "upper case"),
        ("/policy/rules/0/paths", json!(["payments/**"]), "policy.rules[0].paths[0]", "payments/**"),
        ("/policy/agents", json!("some"), "policy.agents", "`deny`, `read_only`, `allow`"),
        ("/quotas/policies/0/windows", json!(["600"]), "quotas.policies[0].windows[0]", "\"600\""),
        ("/quotas/policies/0/windows", json!([]), "quotas.policies[0].windows", "from 1 to 8"),
        (
            "/quotas/policies/0/windows",
            json!(["6/1m", "7/60s"]),
            "quotas.policies[0].windows",
            "two windows of one length",
        ),
        ("/quotas/policies/0/per", json!("team"), "quotas.policies[0].per", "unknown variant, expected one of `group`"),
        ("/quotas/policies/0/name", json!("a b"), "quotas.policies[0].name", "1 to 32 letters"),
        (
            "/quotas/policies/0/cost",
            json!({"POST": 601}),
            "quotas.policies[0].cost.POST",
            "is 601; it must be from 0 to 600",
        ),
        ("/quotas/policies/0/cost", json!({"post": 5}), "quotas.policies[0].cost.post", "upper case"),
        ("/credentials", json!({"header": "a b"}), "credentials.header", "a header name"),
        ("/credentials", json!({"max_token_bytes": 10}), "credentials.max_token_bytes", "from 256 to 65536"),
        ("/verification", json!({"per_second": 0}), "verification.per_second", "is 0; it must be from 1 to 100000"),
        (
            "/verification",
            json!({"per_address": {"burst": 100_001}}),
            "verification.per_address.burst",
            "must be from 1 to 100000",
        ),
        ("/audit", json!({"sample_allows": 1.5}), "audit.sample_allows", "from 0 to 1"),
        ("/shared_data", json!({"keys_zone": "a/b"}), "shared_data.keys_zone", "letters, digits and underscores"),
        ("/realm", json!("a\r\nb"), "realm", "printable ASCII"),
        ("/resource_metadata", json!("ftp://x"), "resource_metadata", "http or https"),
        ("/catalog", json!({}), "catalog", "missing field `url`"),
        ("/catalog", json!({"url": "backstage"}), "catalog.url", "an http or https URL"),
        ("/catalog", json!({"url": "http://b/?x"}), "catalog.url", "without a query"),
        ("/catalog", json!({"url": "http://b", "refresh_seconds": 1}), "catalog.refresh_seconds", "from 5 to 3600"),
        ("/catalog", json!({"url": "http://b", "token": "a b"}), "catalog.token", "without spaces"),
        ("/catalog", json!({"url": "http://b", "on_stale": "x"}), "catalog.on_stale", "`deny`, `allow`, `static`"),
        ("/policy/rules/0/allow", json!(["catalog"]), "policy.rules[0].allow[0]", "there is no `catalog`"),
        ("/issuers/0/groups", json!({"annotation": "keycloak.org/id"}), "issuers[0].groups.annotation", "no `catalog`"),
        ("/quotas/policies/0/tiers", json!({"gold": ["6/1m"]}), "quotas.policies[0].tiers", "there is no `catalog`"),
    ];
    for (pointer, value, path, message) in cases {
        let error =
            parse(&changed(pointer, value.clone())).err().unwrap_or_else(|| panic!("{pointer} = {value} passed"));
        assert_eq!(error.path, path, "{error}");
        assert!(error.to_string().contains(message), "{error} should say {message}");
    }
}

#[test]
fn with_a_catalog_entity_owner_and_rules_may_be_left_out() {
    let with = |more: Value| {
        let mut config = json!({"catalog": {"url": "http://backstage:7007/", "token": "hunter2"}});
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        parse(&config)
    };
    let config = with(json!({})).unwrap();
    let source = &config.catalog.as_ref().unwrap().source;
    assert_eq!((source.backend.path.as_str(), source.backend.upstream.as_str()), ("", "backstage:7007"));
    assert_eq!((&*config.policy.rules[0].name, &config.policy.rules[0].allow), ("catalog", &vec![Allow::Catalog]));
    assert!(!format!("{config:?}").contains("hunter2"));
    assert!(with(json!({"policy": {"rules": [{"allow": ["owner"]}]}})).is_ok());

    let on_static = json!({"url": "http://b", "on_stale": "static"});
    let annotation = json!([{"issuer": "http://i", "audiences": ["a"], "groups": {"annotation": "acme.example/x"}}]);
    let cases = [
        (json!({"catalog": on_static}), "catalog.on_stale"),
        (json!({"catalog": on_static, "entity": "api:x"}), "catalog.on_stale"),
        (json!({"issuers": annotation}), "issuers[0].groups.annotation"),
    ];
    for (more, path) in cases {
        assert_eq!(with(more.clone()).err().unwrap().path, path, "{more}");
    }
    assert!(with(json!({"catalog": on_static, "entity": "api:x", "consumers": ["a"]})).is_ok());
}

#[test]
fn issuers_whose_groups_come_from_different_catalogs_do_not_share_tokens() {
    let id = |url: &str, groups: Value| {
        let config = json!({
            "catalog": {"url": url}, "issuers": [{"issuer": "http://i", "audiences": ["a"], "groups": groups}]
        });
        parse(&config).unwrap().issuers[0].id
    };
    let by_annotation = json!({"annotation": "keycloak.org/id"});
    assert_ne!(id("http://one", by_annotation.clone()), id("http://other", by_annotation));
    assert_eq!(id("http://one", json!({})), id("http://other", json!({})));
}

#[test]
fn presets_go_by_what_names_one_group_only() {
    let groups = |issuer: Value, catalog: Value| {
        let mut issuer = issuer;
        issuer["issuer"] = json!("https://idp.example");
        issuer["audiences"] = json!(["a"]);
        let config = json!({"entity": "api:x", "policy": {"rules": []}, "catalog": catalog, "issuers": [issuer]});
        let groups = parse(&config).unwrap().issuers[0].groups.clone();
        (groups.annotation, groups.transform.map(NameTransform::name))
    };
    let (none, live) = (Value::Null, json!({"url": "http://b"}));
    let by_id = Some("graph.microsoft.com/group-id".to_owned());
    let with = |preset: &str, groups: Value| json!({"preset": preset, "groups": groups});
    let cases = [
        // Entra's claim has object ids. Where the catalog knows them it is asked, unless the operator says otherwise.
        (with("entra", json!({})), &none, (None, None)),
        (with("entra", json!({})), &live, (by_id.clone(), None)),
        (json!({"preset": "entra"}), &live, (by_id.clone(), None)),
        (with("entra", json!({"table": {"1": "a"}})), &live, (by_id, None)),
        (with("entra", json!({"transform": "msgraph"})), &none, (None, Some("msgraph"))),
        (with("entra", json!({"transform": "msgraph"})), &live, (None, Some("msgraph"))),
        (with("entra", json!({"transform": null})), &live, (None, None)),
        (with("entra", json!({"annotation": null})), &live, (None, None)),
        (with("entra", json!({"annotation": "keycloak.org/id"})), &live, (Some("keycloak.org/id".into()), None)),
        // Keycloak's has paths, of which no annotation speaks.
        (with("keycloak", json!({})), &none, (None, Some("top-level-path"))),
        (with("keycloak", json!({})), &live, (None, Some("top-level-path"))),
        (with("keycloak", json!({"transform": "last-path-segment"})), &live, (None, Some("last-path-segment"))),
    ];
    for (issuer, catalog, expected) in cases {
        assert_eq!(groups(issuer.clone(), catalog.clone()), expected, "{issuer} {catalog}");
    }
}

#[test]
fn remote_keys_need_an_upstream_the_host_can_dial() {
    let with = |upstream: &str| {
        let mut config = minimal();
        config["issuers"][0] = json!({
            "issuer": "https://idp.example", "audiences": ["a"], "jwks_uri": "https://idp.example/keys?v=1", "upstream": upstream
        });
        parse(&config)
    };
    for upstream in ["idp.example:443", "idp.example", "[::1]:8443", "unix:/run/idp.sock", "outbound|443||idp.example"]
    {
        let config = with(upstream).unwrap();
        let KeySource::Remote(remote) = &config.issuers[0].keys else { panic!("not remote") };
        let keys = remote.source.endpoint();
        assert_eq!((keys.upstream.as_str(), keys.path.as_str()), (upstream, "/keys?v=1"));
        assert_eq!((keys.scheme.as_str(), keys.authority.as_str()), ("https", "idp.example"));
    }
    for upstream in
        ["", "https://idp.example", "idp.example:443/keys", "idp.example:0", "idp.example:65536", "idp.example:", ":80"]
    {
        assert_eq!(with(upstream).err().unwrap().path, "issuers[0].upstream", "{upstream}");
    }
}

#[test]
fn a_cost_fits_into_the_smallest_limit_that_it_can_meet() {
    let with = |more: Value| {
        let mut policy =
            json!({"name": "q", "per": "group", "windows": ["600/1h", "20/1m"], "cost": {"GET": 0, "POST": 20}});
        policy.as_object_mut().unwrap().append(more.clone().as_object_mut().unwrap());
        let mut config = minimal();
        config["quotas"] = json!({"policies": [policy]});
        config["catalog"] = json!({"url": "https://backstage.example"});
        parse(&config)
    };
    assert!(with(json!({"overrides": {"group:default/a": ["30/1m"]}, "tiers": {"gold": ["21/1s"]}})).is_ok());
    for more in [
        json!({"cost": {"POST": 21}}),
        json!({"overrides": {"group:default/a": ["30/1m", "19/1s"]}}),
        json!({"tiers": {"gold": ["19/1d"]}}),
    ] {
        let error = with(more.clone()).err().unwrap();
        assert_eq!(error.path, "quotas.policies[0].cost.POST", "{more}");
        assert!(error.to_string().contains("it must be from 0 to "), "{error}");
    }
}

#[test]
fn no_message_shows_a_secret() {
    for secret in [json!("hunter2"), json!(["hunter2"]), json!({"hunter2": 1})] {
        let error = parse(&changed("/issuers/0/secret", secret)).err().unwrap();
        assert_eq!(error.path, "issuers[0].secret");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
    let config = parse(&minimal()).unwrap();
    assert!(!format!("{config:?}").contains("0123456789abcdef"));
}

#[test]
fn equal_issuer_settings_have_equal_ids_whatever_the_order_of_members() {
    let id = |text: &str| Config::parse(text.as_bytes()).unwrap().issuers[0].id;
    let template =
        |issuer: &str| format!(r#"{{"entity":"api:default/x","policy":{{"rules":[]}},"issuers":[{issuer}]}}"#);
    let one = template(r#"{"issuer":"i","audiences":["a"],"secret":"0123456789abcdef0123456789abcdef"}"#);
    let other = template(r#"{"secret":"0123456789abcdef0123456789abcdef","audiences":["a"],"issuer":"i"}"#);
    let different = template(r#"{"secret":"0123456789abcdef0123456789abcdef","audiences":["b"],"issuer":"i"}"#);
    assert_eq!(id(&one), id(&other));
    assert_ne!(id(&one), id(&different));
}

#[test]
fn what_is_not_json_is_refused_without_a_panic() {
    for text in [&b""[..], b"{", b"[]", b"null", b"\xff\xfe", b"\"x\""] {
        assert!(Config::parse(text).is_err());
    }
}

#[test]
fn a_header_that_cannot_be_emptied_carries_no_credentials() {
    let with = |header: &str| {
        let mut config = minimal();
        config["credentials"] = json!({"header": header});
        Config::parse(config.to_string().as_bytes())
    };
    for header in
        ["Host", "cookie", "baggage", "Content-Length", "x-backstage-user", "X_Backstage-Owner", "x-consumer-id"]
    {
        let error = with(header).unwrap_err().to_string();
        assert!(error.starts_with("credentials.header: ") || error.contains("credentials.header"), "{error}");
        assert!(error.contains(header), "{error}");
    }
    for header in ["authorization", "x-access-token", "x-backstage-token", "proxy-authorization"] {
        assert!(with(header).is_ok(), "{header}");
    }
}

#[test]
fn in_shadow_mode_the_token_goes_on_unless_the_configuration_says_otherwise() {
    let cases = [
        ("enforce", None, false),
        ("enforce", Some(true), true),
        ("shadow", None, true),
        ("shadow", Some(false), false),
    ];
    for (mode, forward_token, forwarded) in cases {
        let mut config = minimal();
        config["policy"]["mode"] = json!(mode);
        config["credentials"] = forward_token.map_or(json!({}), |forward| json!({"forward_token": forward}));
        let config = Config::parse(config.to_string().as_bytes()).unwrap();
        assert_eq!(config.credentials.forward_token, forwarded, "{mode} {forward_token:?}");
    }
}
