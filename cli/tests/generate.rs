//! `backstage-kong generate`, as the built command.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests are tests too")]

mod support;

use serde_json::{Value, json};
use support::{Folder, root, run_in};

const TEMPLATE: &str = "issuers: [{issuer: 'https://login.example.com', audiences: [x]}]\n";

fn api(name: &str, annotations: &str, spec: &str) -> String {
    format!(
        "apiVersion: backstage.io/v1alpha1\nkind: API\nmetadata:\n  name: {name}\n  annotations: {annotations}\nspec: {spec}\n---\n"
    )
}

fn yaml(text: &str) -> Value {
    serde_yaml_ng::from_str(text).unwrap()
}

/// Generates from one file of catalog and one of template.
fn generated(test: &str, catalog: &str, template: &str, args: &[&str]) -> support::Run {
    let folder = Folder::new(test, &[("c.yaml", catalog), ("t.yaml", template)]);
    folder.run(&[&["generate", "--catalog", "c.yaml", "--template", "t.yaml"], args].concat())
}

/// The golden file is the sample catalog's: `UPDATE_GOLDEN=1 cargo test -p backstage-kong-cli --test generate`.
#[test]
fn the_sample_catalog_makes_the_golden_file() {
    let args = ["generate", "--catalog", "all.yaml", "--template", "filter.yaml", "--output", "kong.yml"];
    let consumers = ["--consumers", "--role-annotation", "amazonaws.com/role-arn"];
    let mode: &[&str] = if std::env::var_os("UPDATE_GOLDEN").is_some() { &[] } else { &["--check"] };
    let run = run_in(&root().join("examples/catalog"), &[&args[..], &consumers, mode].concat());
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (0, ""),
        "run UPDATE_GOLDEN=1 cargo test -p backstage-kong-cli --test generate"
    );
    assert_eq!(run.stderr, "");
}

#[test]
fn running_it_twice_changes_nothing() {
    let folder = Folder::new(
        "twice",
        &[
            ("c.yaml", &api("a", "{backstage-kong/upstream: 'http://a', backstage-kong/paths: /a}", "{owner: g}")),
            ("t.yaml", TEMPLATE),
        ],
    );
    let base = ["generate", "--catalog", "c.yaml", "--template", "t.yaml"];
    for target in [["--output", "out.yml"], ["--into", "into.yml"]] {
        let args = [&base[..], &target].concat();
        let check = [&args[..], &["--check"]].concat();
        assert_eq!(folder.run(&check).code, 1, "{target:?} is not there yet");
        assert_eq!(folder.run(&args).code, 0);
        let once = folder.read(target[1]);
        assert_eq!(folder.run(&args).code, 0);
        assert_eq!(folder.read(target[1]), once);
        assert_eq!(folder.run(&check).code, 0);
    }
}

#[test]
fn check_prints_what_would_change_and_writes_nothing() {
    let catalog = |path| {
        api("a", &format!("{{backstage-kong/upstream: 'http://a', backstage-kong/paths: {path}}}"), "{owner: g}")
    };
    let folder = Folder::new("check", &[("c.yaml", &catalog("/a")), ("t.yaml", TEMPLATE)]);
    let args = ["generate", "--catalog", "c.yaml", "--template", "t.yaml", "--into", "kong.yml"];
    folder.run(&args);
    let before = folder.read("kong.yml");
    folder.write("c.yaml", &catalog("/b"));
    let run = folder.run(&[&args[..], &["--check"]].concat());
    assert_eq!(run.code, 1);
    for line in ["--- kong.yml\n", "+++ kong.yml (as the catalog has it)\n", "-    paths: [/a]\n", "+    paths: [/b]\n"]
    {
        assert!(run.stdout.contains(line), "{}", run.stdout);
    }
    assert_eq!(folder.read("kong.yml"), before);
}

const KONG_YML: &str = "\
# Ours, by hand.
_format_version: '3.0'   # the version

_transform: true
services:
# before the first
- name: legacy
  url: http://legacy:80
  tags: &tags [by-hand]
  routes: [{name: legacy, paths: [/legacy]}]

# before the plugins
plugins:
- {name: cors, tags: *tags}
";

#[test]
fn merging_leaves_alone_what_is_not_its_own() {
    let entity = |name: &str| {
        api(name, &format!("{{backstage-kong/upstream: 'http://x', backstage-kong/paths: /{name}}}"), "{owner: g}")
    };
    let folder = Folder::new("merge", &[("t.yaml", TEMPLATE), ("kong.yml", KONG_YML)]);
    let into = |names: &[&str]| {
        folder.write("c.yaml", &names.iter().map(|name| entity(name)).collect::<String>());
        let run = folder.run(&["generate", "--catalog", "c.yaml", "--template", "t.yaml", "--into", "kong.yml"]);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""));
        folder.read("kong.yml")
    };
    let names = |text: &str| {
        yaml(text)["services"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| s["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let text = into(&["b", "d"]);
    assert_eq!(names(&text), ["legacy", "b", "d"]);
    let (before, after) = KONG_YML.split_once("\n# before the plugins").unwrap();
    assert!(text.starts_with(before) && text.ends_with(&format!("\n# before the plugins{after}")), "{text}");
    let text = into(&["a", "c", "d", "e"]);
    assert_eq!(names(&text), ["legacy", "a", "c", "d", "e"]);
    assert_eq!(into(&["d", "e", "c", "a"]), text, "the order of the catalog's files does not matter");
    // An item that says the same is left as somebody wrote it.
    let commented = text.replace("- name: c\n", "- name: c # the third\n");
    folder.write("kong.yml", &commented);
    assert_eq!(into(&["a", "c", "d", "e"]), commented);
    folder.write("c.yaml", "kind: Group\nmetadata: {name: g}\n");
    let run = folder.run(&["generate", "--catalog", "c.yaml", "--template", "t.yaml", "--into", "kong.yml"]);
    assert_eq!(run.code, 0);
    assert_eq!(folder.read("kong.yml"), KONG_YML, "what is no longer in the catalog goes, without a trace");
}

#[test]
fn a_service_of_the_file_itself_gets_a_filter_chain() {
    let folder = Folder::new(
        "chain",
        &[
            ("t.yaml", TEMPLATE),
            ("kong.yml", KONG_YML),
            ("c.yaml", &api("x", "{backstage-kong/service: legacy}", "{owner: g}")),
        ],
    );
    let args = ["generate", "--catalog", "c.yaml", "--template", "t.yaml", "--into", "kong.yml"];
    let run = folder.run(&args);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    let text = folder.read("kong.yml");
    assert!(text.starts_with(KONG_YML), "{text}");
    let chain = &yaml(&text)["filter_chains"][0];
    assert_eq!(
        (&chain["service"], &chain["filters"][0]["config"]["entity"]),
        (&json!("legacy"), &json!("api:default/x"))
    );
    assert_eq!(folder.run(&args).code, 0);
    assert_eq!(folder.read("kong.yml"), text);
}

#[test]
fn what_is_in_the_way_is_named_with_both_places() {
    let served = "{backstage-kong/service: legacy, backstage-kong/upstream: 'http://x', backstage-kong/paths: /x}";
    let chained = KONG_YML.replace("  routes: [{", "  filter_chains: [{filters: [{name: other}]}]\n  routes: [{");
    let inline = "_format_version: '3.0'\nservices: [{name: a, host: h}]\n";
    for (annotations, kong_yml, expected) in [
        (
            served,
            KONG_YML,
            "kong.yml:7: error: there is a service \"legacy\" already that is not managed by backstage-kong",
        ),
        (
            "{backstage-kong/service: legacy}",
            &chained,
            "c.yaml:5: error: Kong service \"legacy\" has a filter chain already",
        ),
        (served, inline, "kong.yml:2: error: `services` is written between brackets"),
        (served, "services: []\n", "kong.yml:1: error: is no declarative configuration of Kong in block style"),
        (served, "a: [", "kong.yml:1: error: is not YAML"),
    ] {
        let folder = Folder::new(
            "in-the-way",
            &[("t.yaml", TEMPLATE), ("kong.yml", kong_yml), ("c.yaml", &api("x", annotations, "{owner: g}"))],
        );
        let run = folder.run(&["generate", "--catalog", "c.yaml", "--template", "t.yaml", "--into", "kong.yml"]);
        assert_eq!(run.code, 1, "{}", run.stderr);
        assert!(run.stderr.starts_with(expected), "{}\nshould begin with\n{expected}", run.stderr);
        assert_eq!(folder.read("kong.yml"), kong_yml);
    }
}

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
fn routes_that_kong_cannot_have_are_refused() {
    let openapi =
        "{owner: g, type: openapi, definition: \"{servers: [{url: 'http://u/v1'}], paths: {/a: {get: {}}}}\"}";
    for (annotations, expected) in [
        (
            "{backstage-kong/paths: /p}",
            "c.yaml:5: error: a route for each path cannot put the upstream's path \"/v1\" in the place of /p (make",
        ),
        (
            "{backstage-kong/strip-path: 'false', backstage-kong/upstream: 'http://u/b'}",
            "c.yaml:4: error: the upstream's path \"/b\" is no beginning of the first server's, \"/v1\"",
        ),
        (
            "{backstage-kong/strip-path: 'false', backstage-kong/paths: /p}",
            "c.yaml:5: error: no path of the definition is below /p",
        ),
    ] {
        let run = generated("no-routes", &api("x", annotations, openapi), TEMPLATE, &["--routes", "per-path"]);
        assert_eq!(run.code, 1, "{annotations}");
        assert!(run.stderr.starts_with(expected), "{}\nshould begin with\n{expected}", run.stderr);
    }
    let without =
        api("x", "{backstage-kong/upstream: 'http://u', backstage-kong/paths: /p}", "{owner: g, type: openapi}");
    let run = generated("no-paths", &without, TEMPLATE, &["--routes", "per-path"]);
    assert!(run.stderr.starts_with("c.yaml:4: error: api:default/x has no definition with `paths`"), "{}", run.stderr);
}

#[test]
fn mistakes_of_catalogs_are_told_with_file_line_and_fix() {
    let fine = "{backstage-kong/upstream: 'http://x', backstage-kong/paths: /x}";
    for (catalog, expected) in [
        (
            api("x", "{backstage-kong/paths: /x}", "{owner: g}"),
            "c.yaml:4: error: api:default/x has no upstream, and no definition with `servers` (say where Kong sends its requests: backstage-kong/upstream: http://host:port)",
        ),
        (
            api("x", "{backstage-kong/paths: /x}", "{owner: g, type: openapi, definition: 'servers: ['}"),
            "c.yaml:6: error: spec.definition, line 1: is not YAML",
        ),
        (
            api("x", "{backstage-kong/upstream: 'http://x'}", "{owner: g}"),
            "c.yaml:4: error: api:default/x has neither paths nor hosts",
        ),
        (
            api("x", fine, "{type: openapi}"),
            "c.yaml:4: error: api:default/x has no owner (say spec.owner: a group or a user)",
        ),
        (
            api("x", "{backstage-kong/path: /x}", "{owner: g}"),
            "c.yaml:5: error: no annotation is called backstage-kong/path (did you mean backstage-kong/paths?)",
        ),
        (
            api("x", "{backstage-kong/strip-path: false}", "{owner: g}"),
            "c.yaml:5: error: backstage-kong/strip-path is no text, so Backstage refuses the entity (put it in quotes)",
        ),
        (
            api("x", "{backstage-kong/access: everyone}", "{owner: g}"),
            "c.yaml:5: error: backstage-kong/access: is \"everyone\"; it must be anyone, authenticated, owner, consumer, or a group or user such as group:default/payments; nobody may call it",
        ),
        (
            api("x", "{backstage-kong/service: a b}", "{owner: g}"),
            "c.yaml:5: error: backstage-kong/service: \"a b\" is no name to Kong",
        ),
        (
            api("x", "{backstage-kong/paths: '/a, x'}", "{owner: g}"),
            "c.yaml:5: error: backstage-kong/paths: \"x\" is no path to Kong",
        ),
        (
            api("x", "{backstage-kong/paths: '~/a'}", "{owner: g}"),
            "c.yaml:5: error: backstage-kong/paths: \"~/a\" is a regular expression",
        ),
        (
            api("x", "{backstage-kong/hosts: 'http://a'}", "{owner: g}"),
            "c.yaml:5: error: backstage-kong/hosts: \"http://a\" is no host name",
        ),
        (
            api("x", "{backstage-kong/upstream: 'tcp://a'}", "{owner: g}"),
            "c.yaml:5: error: backstage-kong/upstream: \"tcp://a\" is no upstream",
        ),
        (
            format!(
                "{}{}",
                api("x", &fine.replace("{", "{backstage-kong/service: s, "), "{owner: g}"),
                api("y", &fine.replace("{", "{backstage-kong/service: s, "), "{owner: g}")
            ),
            "c.yaml:12: error: Kong service \"s\" is api:default/x's too, at c.yaml:5",
        ),
    ] {
        let run = generated("mistakes", &catalog, TEMPLATE, &[]);
        assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{catalog}");
        assert!(run.stderr.starts_with(expected), "{}\nshould begin with\n{expected}", run.stderr);
    }
}

#[test]
fn mistakes_of_templates_are_told_with_their_line() {
    let catalog = api("x", "{backstage-kong/upstream: 'http://x', backstage-kong/paths: /x}", "{owner: g}");
    for (template, expected) in [
        (
            "issuers:\n- issuer: https://a\n  audience: [x]\n",
            "t.yaml:3: error: issuers[0].audience: unknown field `audience`",
        ),
        (
            "issuers:\n- issuer: https://a\n  audiences: [x]\n  algorithms: [none]\n",
            "t.yaml:4: error: issuers[0].algorithms[0]",
        ),
        ("policy: {agents: some}\n", "t.yaml:1: error: policy.agents"),
        ("owner: group:default/a\n", "t.yaml:1: error: `owner` comes from the catalog"),
        (
            "catalog: {url: 'https://b'}\nissuers: []\nrealm: ${REALM}\n",
            "t.yaml:3: error: variables such as ${NAME} are not replaced",
        ),
    ] {
        let run = generated("templates", &catalog, template, &[]);
        assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{template}");
        assert!(run.stderr.starts_with(expected), "{}\nshould begin with\n{expected}", run.stderr);
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
                {"name": "health", "paths": ["/x/health"], "allow": ["anyone"]}, {"name": "catalog", "allow": ["owner", "consumer"]}]},
            "quotas": {"policies": [
                {"name": "q", "per": "group", "windows": ["9/1m"], "overrides": {"group:default/g": ["2/1m"]}},
                {"name": "u", "per": "user", "windows": ["1/1h"]}]},
        })
    );
}

#[test]
fn usage_and_files_that_are_not_there_end_with_2() {
    let folder = Folder::new("usage", &[("c.yaml", "kind: Group\nmetadata: {name: g}\n"), ("t.yaml", TEMPLATE)]);
    for (args, expected) in [
        (&["--catalog", "c.yaml"][..], "--template"),
        (&["--template", "t.yaml"], "no catalog is given"),
        (&["--catalog", "none/*.yaml", "--template", "t.yaml"], "no file fits \"none/*.yaml\""),
        (&["--catalog", "c.yaml", "--template", "none.yaml"], "none.yaml cannot be read"),
        (&["--catalog", "c.yaml", "--template", "t.yaml", "--check"], "--into or --output"),
        (
            &["--catalog", "c.yaml", "--template", "t.yaml", "--output", "none/out.yml"],
            "none/out.yml cannot be written",
        ),
        (&["--backstage", "backstage.example.com", "--template", "t.yaml"], "is no http or https URL"),
    ] {
        let run = folder.run(&[&["generate"], args].concat());
        assert_eq!(run.code, 2, "{args:?}: {}", run.stderr);
        assert!(run.stderr.contains(expected), "{args:?}: {}", run.stderr);
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
