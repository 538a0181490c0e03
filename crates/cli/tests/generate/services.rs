//! What becomes of an entity: services, routes, configurations, consumers.

use crate::{TEMPLATE, api, generated, yaml};
use serde_json::{Value, json};

#[test]
fn annotations_and_definitions_say_where_requests_come_in_and_go() {
    let openapi = |servers: &str| {
        format!(
            "{{owner: g, type: openapi, definition: \"{{servers: {servers}, paths: {{'/a/{{id}}': {{get: {{}}}}, /a: {{post: {{}}}}}}}}\"}}"
        )
    };
    let one = |annotations: &str, spec: &str, args: &[&str]| {
        let run = generated("routes", &api("x", annotations, spec), TEMPLATE, args);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""));
        let service = yaml(&run.stdout)["services"][0].clone();
        let routes: Vec<_> = service["routes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|route| json!([route["name"], route["hosts"], route["paths"], route["methods"], route["strip_path"]]))
            .collect();
        (service["name"].as_str().unwrap().to_owned(), service["url"].as_str().unwrap().to_owned(), json!(routes))
    };
    let server = openapi("[{url: 'https://a.example:8443/v1'}]");
    for (annotations, spec, args, name, url, routes) in [
        (
            "{backstage-kong/strip-path: 'true'}",
            &server,
            &[][..],
            "x",
            "https://a.example:8443/v1",
            json!([["x", null, ["/v1"], null, true]]),
        ),
        (
            "{kong-manager/service-name: k, backstage-kong/paths: '/p, /q', backstage-kong/upstream: 'http://u/b/'}",
            &server,
            &[],
            "k",
            "http://u/b",
            json!([["k", null, ["/p", "/q"], null, true]]),
        ),
        (
            "{backstage-kong/service: s, kong-manager/service-name: k, backstage-kong/hosts: 'a.example, *.b'}",
            &openapi("[{url: 'http://u'}]"),
            &[],
            "s",
            "http://u",
            json!([["s", ["a.example", "*.b"], ["/"], null, true]]),
        ),
        (
            "{backstage-kong/strip-path: 'true'}",
            &server,
            &["--routes", "per-path"],
            "x",
            "https://a.example:8443",
            json!([
                ["x.a", null, ["~/v1/a$"], ["OPTIONS", "POST"], false],
                ["x.a-id", null, ["~/v1/a/[^/]+$"], ["GET", "HEAD", "OPTIONS"], false]
            ]),
        ),
        (
            "{backstage-kong/strip-path: 'false', backstage-kong/paths: '/v1/b'}",
            &server.replace("/a: {post", "/b: {post"),
            &["--routes", "per-path"],
            "x",
            "https://a.example:8443",
            json!([["x.b", null, ["~/v1/b$"], ["OPTIONS", "POST"], false]]),
        ),
        (
            "{backstage-kong/strip-path: 'false', backstage-kong/upstream: 'http://u/v1'}",
            &server,
            &["--routes", "per-path"],
            "x",
            "http://u/v1",
            json!([
                ["x.a", null, ["~/a$"], ["OPTIONS", "POST"], false],
                ["x.a-id", null, ["~/a/[^/]+$"], ["GET", "HEAD", "OPTIONS"], false]
            ]),
        ),
    ] {
        assert_eq!(one(annotations, spec, args), (name.to_owned(), url.to_owned(), routes), "{annotations}");
    }
}

#[test]
fn static_ownership_writes_out_what_the_filter_would_ask() {
    let catalog = format!(
        "{}kind: Component\nmetadata: {{name: c}}\nspec: {{owner: 'user:ada', consumesApis: [x], system: s}}\n---\nkind: System\nmetadata: {{name: s}}\nspec: {{owner: h}}\n---\n\
         kind: Group\nmetadata: {{name: g, annotations: {{keycloak.org/id: '1', backstage-kong/quota-tier: low}}}}\n---\nkind: Group\nmetadata: {{name: h, annotations: {{keycloak.org/id: '2'}}}}\n",
        api(
            "x",
            "{backstage-kong/upstream: 'http://x', backstage-kong/paths: /x, backstage-kong/agents: read_only, backstage-kong/quota-tier: high}",
            "{owner: g}"
        )
    );
    let template = "issuers: [{issuer: 'https://a', audiences: [x], groups: {annotation: keycloak.org/id, table: {'2': group:default/other}}}]\n\
                    policy: {agents: allow, mode: shadow, rules: [{name: health, paths: [/x/health], allow: [anyone]}]}\n\
                    quotas: {policies: [{name: q, per: group, windows: [1/1m], tiers: {high: [9/1m], low: [2/1m]}}, {name: u, per: user, windows: [1/1h], tiers: {low: [1/2h]}}]}\n";
    let run = generated("static", &catalog, template, &["--system-consumers"]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    let config = &yaml(&run.stdout)["services"][0]["filter_chains"][0]["filters"][0]["config"];
    assert_eq!(
        *config,
        json!({
            "entity": "api:default/x", "owner": "group:default/g", "consumers": ["group:default/h", "user:default/ada"],
            "issuers": [{"issuer": "https://a", "audiences": ["x"], "groups": {"transform": null, "table": {"1": "group:default/g", "2": "group:default/other"}}}],
            "policy": {"agents": "read_only", "mode": "shadow", "rules": [
                {"name": "health", "paths": ["/x/health"], "allow": ["anyone"]},
                {"name": "catalog-read", "methods": ["GET", "HEAD", "OPTIONS"], "allow": ["owner", "consumer"]},
                {"name": "catalog-write", "allow": ["owner"]}]},
            "quotas": {"policies": [
                {"name": "q", "per": "group", "windows": ["9/1m"], "overrides": {"group:default/g": ["2/1m"]}},
                {"name": "u", "per": "user", "windows": ["1/1h"]}]},
        })
    );
}

#[test]
fn the_annotation_of_a_preset_becomes_a_table_unless_the_template_says_how_groups_are_named() {
    let catalog = format!(
        "{}kind: Group\nmetadata: {{name: g, annotations: {{graph.microsoft.com/group-id: '1'}}}}\n",
        api("x", "{backstage-kong/upstream: 'http://x', backstage-kong/paths: /x}", "{owner: g}")
    );
    let table = json!({"transform": null, "table": {"1": "group:default/g"}});
    for (issuer, expected) in [
        ("preset: entra", table.clone()),
        (
            "preset: entra, groups: {namespace: default}",
            json!({"namespace": "default", "transform": null, "table": {"1": "group:default/g"}}),
        ),
        ("preset: entra, groups: {transform: msgraph}", json!({"transform": "msgraph"})),
        ("preset: entra, groups: {annotation: null}", json!({})),
        ("preset: keycloak", Value::Null),
    ] {
        let template = format!("issuers: [{{issuer: 'https://a', audiences: [x], {issuer}}}]\n");
        let run = generated("by-preset", &catalog, &template, &[]);
        assert_eq!(run.code, 0, "{}", run.stderr);
        let config = &yaml(&run.stdout)["services"][0]["filter_chains"][0]["filters"][0]["config"];
        assert_eq!(config["issuers"][0]["groups"], expected, "{issuer}");
    }
}

#[test]
fn live_ownership_names_the_entity_and_leaves_the_rest_to_the_catalog() {
    let catalog = api(
        "x",
        "{backstage-kong/upstream: 'http://x', backstage-kong/paths: /x, backstage-kong/access: anyone, backstage-kong/quota-tier: high}",
        "{owner: g}",
    );
    let issuers = "issuers: [{issuer: 'https://a', audiences: [x], groups: {annotation: acme/id}}]\n";
    let quotas = "quotas: {policies: [{name: q, per: group, windows: [1/1m], tiers: {high: [9/1m]}}]}\n";
    let source = |rest: &str| format!("catalog: {{url: 'https://b', group_annotations: [acme/id]{rest}}}\n");
    for (template, expected) in [
        (format!("{}{issuers}{quotas}", source("")), json!({})),
        (format!("{}{issuers}{quotas}policy: {{agents: allow}}\n", source("")), json!({"policy": {"agents": "allow"}})),
        (
            format!(
                "{}{issuers}{quotas}policy: {{rules: [{{name: health, paths: [/h], allow: [anyone]}}]}}\n",
                source("")
            ),
            json!({"policy": {"rules": [{"name": "health", "paths": ["/h"], "allow": ["anyone"]}, {"name": "catalog", "allow": ["catalog"]}]}}),
        ),
        (format!("{}{issuers}{quotas}", source(", on_stale: static")), json!({"owner": "group:default/g"})),
    ] {
        let run = generated("live-ownership", &catalog, &template, &["--ownership", "live"]);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{template}");
        let mut config = yaml(&run.stdout)["services"][0]["filter_chains"][0]["filters"][0]["config"].clone();
        let members = config.as_object_mut().unwrap();
        let written: Value = yaml(&template);
        for same in ["catalog", "issuers", "quotas"] {
            assert_eq!(members.remove(same).unwrap(), written[same], "{same}");
        }
        assert_eq!(members.remove("entity").unwrap(), "api:default/x");
        assert_eq!(config, expected);
    }
    let run = generated("live-without", &catalog, TEMPLATE, &["--ownership", "live"]);
    assert_eq!(run.code, 1);
    assert!(
        run.stderr.contains("t.yaml:1: error: has no `catalog`, where the filter would learn who owns what (add it"),
        "{}",
        run.stderr
    );
}

#[test]
fn consumers_mirror_users_groups_and_roles() {
    let catalog = "\
kind: Group
metadata: {name: area, namespace: org, annotations: {acme/role: 'top'}}
spec: {children: [team]}
---
kind: Group
metadata: {name: team, namespace: org, annotations: {acme/role: 'arn:aws:iam::1:role/a, arn:aws:iam::1:role/b'}}
---
kind: User
metadata: {name: Ada, annotations: {acme/role: 'own'}}
spec: {memberOf: [org/team, gone]}
";
    let all = ["--consumers", "--consumer-groups", "--role-annotation", "acme/role"];
    let run = generated("consumers", catalog, TEMPLATE, &all);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    let kong = yaml(&run.stdout);
    let ada = &kong["consumers"][0];
    assert_eq!(
        *ada,
        json!({
            "username": "user:default/ada", "custom_id": "user:default/ada",
            "tags": ["managed-by:backstage-kong", "backstage-entity:user:default:ada"],
            "acls": [
                {"group": "group:default/gone", "tags": ["managed-by:backstage-kong", "backstage-entity:group:default:gone"]},
                {"group": "group:org/team", "tags": ["managed-by:backstage-kong", "backstage-entity:group:org:team"]},
                {"group": "arn:aws:iam::1:role/a", "tags": ["managed-by:backstage-kong", "backstage-entity:group:org:team"]},
                {"group": "arn:aws:iam::1:role/b", "tags": ["managed-by:backstage-kong", "backstage-entity:group:org:team"]},
                {"group": "own", "tags": ["managed-by:backstage-kong", "backstage-entity:user:default:ada"]},
            ],
            "groups": [{"name": "org.team"}],
        })
    );
    assert_eq!(kong["consumer_groups"][0]["name"], "org.area");
    let parents = format!("{TEMPLATE}catalog: {{url: 'https://b', parent_groups: true}}\n");
    let run = generated("parents", catalog, &parents, &["--consumers", "--ownership", "live"]);
    let groups: Vec<_> =
        yaml(&run.stdout)["consumers"][0]["acls"].as_array().unwrap().iter().map(|acl| acl["group"].clone()).collect();
    assert_eq!(groups, ["group:default/gone", "group:org/area", "group:org/team"]);
}
