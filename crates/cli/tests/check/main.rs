//! `backstage-kong check`, as the built command.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests are tests too")]

mod kong;
mod plugins;
#[path = "../support/mod.rs"]
mod support;

use serde_json::{Value, json};
use support::{Folder, root, run_in};

const CATALOG: &str = "\
kind: API
metadata:
  name: payments
  annotations:
    backstage-kong/service: payments
spec: {owner: payments}
---
kind: Component
metadata: {name: web}
spec: {owner: checkout, consumesApis: [payments]}
---
kind: Group
metadata: {name: payments, annotations: {keycloak.org/id: '1'}}
---
kind: Group
metadata: {name: checkout}
";

/// A `kong.yml` with one service, whose filter has this configuration.
fn kong_yml(config: &str) -> String {
    format!(
        "_format_version: \"3.0\"\nservices:\n- name: payments\n  host: a\n  routes: [{{name: r, paths: [/a]}}]\n  filter_chains:\n  - filters:\n    - name: backstage_kong\n      config: {config}\n"
    )
}

fn config(rest: &str) -> String {
    format!(
        "{{entity: 'api:default/payments', owner: payments, issuers: [{{issuer: 'https://a', audiences: [x]}}], {rest}}}"
    )
}

/// What is found in one file, with a catalog where one is given.
fn found(file: &str, text: &str, catalog: Option<&str>) -> Vec<String> {
    let folder = Folder::new("found", &[(file, text), ("c.yaml", catalog.unwrap_or_default())]);
    let args = if catalog.is_some() { vec!["check", file, "--catalog", "c.yaml"] } else { vec!["check", file] };
    let run = folder.run(&args);
    let findings: Vec<_> = run.stdout.lines().map(str::to_owned).collect();
    assert_eq!(run.code, i32::from(!findings.is_empty()), "{}", run.stderr);
    findings
}

#[track_caller]
fn begin(found: &[String], expected: &[&str]) {
    let fits = found.len() == expected.len()
        && found.iter().zip(expected).all(|(found, expected)| found.starts_with(expected));
    assert!(fits, "{found:#?}\nshould begin with\n{expected:#?}");
}

const FINE: &str = "policy: {rules: [{allow: [owner]}]}";

#[test]
fn what_is_fine_is_left_in_peace() {
    assert_eq!(found("f.yaml", &config(FINE), Some(CATALOG)), [""; 0]);
    assert_eq!(found("kong.yml", &kong_yml(&config(FINE)), Some(CATALOG)), [""; 0]);
    let folder = root().join("examples");
    for file in ["minimal.json", "owner-and-consumers.json", "catalog/kong.yml"] {
        let run = run_in(&folder, &["check", file]);
        assert_eq!((run.code, run.stdout.as_str()), (0, ""), "{file}: {}", run.stderr);
    }
    let run = run_in(&folder, &["check", "catalog/kong.yml", "--catalog", "catalog/all.yaml"]);
    assert_eq!((run.code, run.stdout.as_str()), (0, ""), "{}", run.stderr);
}

#[test]
fn every_invalid_example_has_a_finding_with_its_line() {
    let folder = root().join("examples/invalid");
    for entry in std::fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let run = run_in(&folder, &["check", &name]);
        assert_eq!(run.code, 1, "{name}");
        assert!(run.stdout.contains(&format!("{name}:")) && run.stdout.contains(": error: "), "{name}: {}", run.stdout);
    }
}

#[test]
fn faults_of_the_filter_s_configuration_name_path_and_line() {
    let text = "entity: api:default/x\nissuers:\n- issuer: https://a\n  audiences: [x]\n  algorithms:\n  - RS256\n  - none\npolicy: {rules: []}\n";
    begin(&found("f.yaml", text, None), &["f.yaml:7: error: issuers[0].algorithms[1]: is \"none\"; it must be one of"]);
    let text = "{\n  \"entity\": \"api:default/x\",\n  \"polcy\": {}\n}";
    begin(&found("f.json", text, None), &["f.json:3: error: polcy: unknown field `polcy`"]);
    let text = kong_yml("\n        entity: api:default/x\n        owner: api:default/x\n        policy: {rules: []}");
    begin(
        &found("kong.yml", &text, None),
        &["kong.yml:11: error: services[0].filter_chains[0].filters[0].config.owner: is \"api:default/x\""],
    );
    let text = kong_yml("'{\"entity\": \"x\"}'");
    let path = "kong.yml:9: error: services[0].filter_chains[0].filters[0].config";
    begin(
        &found("kong.yml", &text, None),
        &[
            &format!("{path}.entity"),
            &format!("{path}: is a string; it must be an object (Kong does not load it as it is)"),
        ],
    );
}

#[test]
fn a_route_is_open_unless_a_filter_is_on_it_its_service_or_everything() {
    let filter = format!("{{name: backstage_kong, config: {}}}", config(FINE));
    let chain = format!("filters: [{filter}]");
    for (services, rest, open) in [
        (
            format!("{{name: s, host: h, routes: [{{name: r, paths: [/]}}], filter_chains: [{{{chain}}}]}}"),
            String::new(),
            false,
        ),
        (
            format!("{{name: s, host: h, routes: [{{name: r, paths: [/], filter_chains: [{{{chain}}}]}}]}}"),
            String::new(),
            false,
        ),
        (format!("{{name: s, host: h, routes: [{{paths: [/], filter_chains: [{{{chain}}}]}}]}}"), String::new(), false),
        (format!("{{host: h, routes: [{{paths: [/]}}], filter_chains: [{{{chain}}}]}}"), String::new(), false),
        (
            format!("{{host: h, routes: [{{paths: [/]}}, {{paths: [/b], filter_chains: [{{{chain}}}]}}]}}"),
            String::new(),
            true,
        ),
        (
            "{name: s, host: h, routes: [{name: r, paths: [/]}]}".to_owned(),
            format!("filter_chains: [{{service: {{name: s}}, {chain}}}]"),
            false,
        ),
        (
            "{name: s, host: h, routes: [{name: r, paths: [/]}]}".to_owned(),
            format!("filter_chains: [{{route: r, {chain}}}]"),
            false,
        ),
        ("{name: s, host: h, routes: [{name: r, paths: [/]}]}".to_owned(), format!("plugins: [{filter}]"), false),
        ("{name: s, host: h, routes: [{name: r, paths: [/]}]}".to_owned(), "plugins: [{name: cors}]".to_owned(), true),
        (
            format!("{{name: s, host: h, filter_chains: [{{{chain}}}]}}"),
            "routes: [{name: r, service: s, paths: [/]}, {service: {name: s}, paths: [/b]}]".to_owned(),
            false,
        ),
        ("{name: s, host: h}".to_owned(), "routes: [{name: r, service: s, paths: [/]}]".to_owned(), true),
    ] {
        let text = format!("_format_version: \"3.0\"\nservices: [{services}]\n{rest}\n");
        let found = found("kong.yml", &text, None);
        assert_eq!(found.iter().any(|finding| finding.contains("has no entity")), open, "{text}\n{found:?}");
        assert_eq!(found.len(), usize::from(open), "{text}\n{found:?}");
    }
}

#[test]
fn references_that_the_catalog_does_not_have_are_found() {
    let text = "\
entity: api:default/payment
owner: paymnts
consumers: [group:default/checkout, user:default/nobody]
issuers:
- issuer: https://a
  audiences: [x]
  groups:
    table:
      '7': group:default/gone
policy:
  rules:
  - allow: [owner, group:default/left]
quotas:
  policies:
  - {name: q, per: group, windows: [1/1m], overrides: {'group:default/moved': [2/1m]}}
";
    assert_eq!(found("f.yaml", text, None), [""; 0], "without a catalog nobody knows");
    begin(
        &found("f.yaml", text, Some(CATALOG)),
        &[
            "f.yaml:1: error: entity: the catalog has no api:default/payment (did you mean api:default/payments?)",
            "f.yaml:2: error: owner: the catalog has no group:default/paymnts (did you mean group:default/payments?)",
            "f.yaml:3: error: consumers[1]: the catalog has no user:default/nobody",
            "f.yaml:9: error: issuers[0].groups.table.7: the catalog has no group:default/gone",
            "f.yaml:12: error: policy.rules[0].allow[1]: the catalog has no group:default/left",
            "f.yaml:15: error: quotas.policies[0].overrides.group:default/moved: the catalog has no group:default/moved",
        ],
    );
}

#[test]
fn owners_that_are_missing_or_others_than_in_the_catalog_are_found() {
    let any = "issuers: [{issuer: 'https://a', audiences: [x]}], policy: {rules: [{allow: [authenticated]}]}";
    let live = "catalog: {url: 'https://b'}";
    for (text, catalog, expected) in [
        (
            format!("{{entity: 'api:default/payments', {any}}}"),
            None,
            &["f.yaml:1: warning: owner: api:default/payments has no owner here"][..],
        ),
        (format!("{{entity: 'api:default/payments', {live}, {any}}}"), Some(CATALOG), &[]),
        (
            format!("{{entity: 'api:default/payments', owner: checkout, {any}}}"),
            Some(CATALOG),
            &["f.yaml:1: warning: owner: is group:default/checkout, but the catalog has group:default/payments"],
        ),
        (
            format!("{{entity: 'component:default/gone', {live}, {any}}}"),
            Some(CATALOG),
            &["f.yaml:1: error: entity: the catalog has no component:default/gone"],
        ),
    ] {
        begin(&found("f.yaml", &text, catalog), expected);
    }
    let unnamed = format!("{{{live}, {any}}}");
    assert_eq!(found("kong.yml", &kong_yml(&unnamed), Some(CATALOG)), [""; 0]);
    let other = kong_yml(&unnamed).replace("name: payments", "name: other");
    begin(
        &found("kong.yml", &other, Some(CATALOG)),
        &["kong.yml:9: error: names no entity, and the catalog does not say which one is behind service \"other\""],
    );
    let tagged = other.replace("  host: a\n", "  host: a\n  tags: [backstage-entity:api:payments]\n");
    assert_eq!(found("kong.yml", &tagged, Some(CATALOG)), [""; 0]);
}

#[test]
fn groups_that_no_claim_comes_to_are_found() {
    let with = |groups: &str, catalog: &str| {
        format!(
            "{{entity: 'api:default/payments', owner: payments, consumers: [checkout], {catalog} issuers: [{{issuer: 'https://a', audiences: [x], groups: {groups}}}], policy: {{rules: [{{allow: [owner]}}]}}}}"
        )
    };
    let both = [
        "f.yaml:1: warning: consumers[0]: no claim of any issuer here comes to group:default/checkout",
        "f.yaml:1: warning: owner: no claim of any issuer here comes to group:default/payments",
    ];
    let live = "catalog: {url: 'https://b'},";
    for (groups, live, expected) in [
        ("{transform: identity}", "", &[][..]),
        ("{transform: null, entity_refs: true}", "", &[]),
        ("{transform: null}", "", &both),
        ("{transform: identity, namespace: other}", "", &both),
        ("{transform: null, table: {'7': payments}}", "", &both[..1]),
        ("{annotation: keycloak.org/id}", live, &both[..1]),
        ("{annotation: keycloak.org/id}", "catalog: {url: 'https://b', parent_groups: true},", &[]),
    ] {
        begin(&found("f.yaml", &with(groups, live), Some(CATALOG)), expected);
    }
}

#[test]
fn transforms_that_can_make_one_group_of_two_are_found() {
    let with = |issuer: &str, rest: &str| {
        format!(
            "entity: api:default/payments\nowner: payments\nissuers:\n- issuer: https://a\n  audiences: [x]\n  {issuer}\npolicy: {{rules: [{{allow: [owner]}}]}}\n{rest}"
        )
    };
    let live = "catalog: {url: 'https://b'}\n";
    let merging = "f.yaml:6: warning: issuers[0].groups.transform: ";
    let last = format!(
        "{merging}`last-path-segment` can make one group of two, as of \"/staff/payments\" and \"/contractors/payments\"; who may create groups in the directory can take another's access (go by ids: groups.annotation, or groups.table with transform: null)"
    );
    let begins = |what: &str| format!("{merging}`{what}` can make one group of two");
    for (issuer, rest, expected) in [
        ("groups: {transform: last-path-segment}", "", Some(last)),
        ("groups: {transform: kebab-case, table: {'7': payments}}", "", Some(begins("kebab-case"))),
        ("groups: {transform: msgraph}", live, Some(begins("msgraph"))),
        ("groups: {transform: email-local-part}", "", Some(begins("email-local-part"))),
        ("preset: okta", "", Some(begins("kebab-case").replace("f.yaml:6", "f.yaml:4"))),
        ("preset: keycloak", "", None),
        ("preset: entra", live, None),
        ("groups: {transform: top-level-path}", "", None),
        ("groups: {transform: identity}", "", None),
        ("groups: {transform: last-path-segment, annotation: keycloak.org/id}", live, None),
        ("users: {transform: email-local-part}", "", None),
    ] {
        let expected: Vec<_> = expected.iter().map(String::as_str).collect();
        begin(&found("f.yaml", &with(issuer, rest), None), &expected);
    }
}

#[test]
fn faults_of_catalogs_are_found_without_any_configuration() {
    let text = "\
kind: API
metadata:
  name: a
  annotations:
    backstage-kong/service: s
    backstage-kong/acess: owner
    backstage-kng/agents: allow
    backstage-kong/write-access: owner, group:default/h
    backstage-kong/agents: some
spec: {owner: nobody, system: t}
---
kind: API
metadata:
  name: b
  annotations:
    backstage-kong/service: s
spec: {owner: g}
---
kind: Group
metadata:
  name: g
  annotations: {keycloak.org/id: '1'}
---
kind: Group
metadata:
  name: f
  annotations: {keycloak.org/id: '1'}
";
    let folder = Folder::new("faults", &[("c.yaml", text)]);
    let run = folder.run(&["check", "--catalog", "c.yaml"]);
    assert_eq!(run.code, 1);
    let both = "Kong service \"s\" is claimed by api:default/a and api:default/b, and nobody knows who had it first; where Kong does not name its entity, nobody may call it (leave it to one of them, and name that one in Kong's configuration)";
    let groups = "\"keycloak.org/id=1\" is the identity of group:default/f and group:default/g; it means none of them (leave it to one of them)";
    let found: Vec<_> = run.stdout.lines().collect();
    assert_eq!(
        found,
        [
            &format!("c.yaml:5: error: {both}")[..],
            "c.yaml:6: error: no annotation is called backstage-kong/acess (did you mean backstage-kong/access?)",
            "c.yaml:7: error: no annotation is called backstage-kng/agents (did you mean backstage-kong/agents?)",
            "c.yaml:8: error: backstage-kong/write-access: the catalog has no group:default/h (did you mean group:default/f?)",
            "c.yaml:9: error: backstage-kong/agents: is \"some\"; it must be deny, read_only or allow; nobody may call it",
            "c.yaml:10: error: api:default/a is ownedBy group:default/nobody, which the catalog does not have",
            "c.yaml:10: warning: api:default/a is partOf system:default/t, which the catalog does not have",
            &format!("c.yaml:16: error: {both}"),
            &format!("c.yaml:22: error: {groups}"),
            &format!("c.yaml:27: error: {groups}"),
        ]
    );
    assert!(run.stderr.contains("10 findings"));
}

#[test]
fn findings_are_json_where_asked_for() {
    let folder = Folder::new("json", &[("f.yaml", "entity: 7\n"), ("fine.yaml", &config(FINE))]);
    let run = folder.run(&["check", "--json", "f.yaml"]);
    let found: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(run.code, 1);
    assert_eq!(
        (&found[0]["file"], &found[0]["line"], &found[0]["severity"]),
        (&json!("f.yaml"), &json!(1), &json!("error"))
    );
    let run = folder.run(&["check", "--json", "fine.yaml"]);
    assert_eq!((run.code, run.stdout.as_str()), (0, "[]\n"));
}

#[test]
fn what_cannot_be_read_ends_with_2() {
    let folder = Folder::new("check-usage", &[("c.yaml", CATALOG)]);
    for (args, expected) in [
        (&["check"][..], "nothing to check"),
        (&["check", "none.yaml"], "cannot read none.yaml"),
        (&["check", "--catalog", "none"], "no file fits"),
    ] {
        let run = folder.run(args);
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{args:?}");
        assert!(run.stderr.contains(expected), "{}", run.stderr);
    }
    let run = folder.run(&["check", "c.yaml"]);
    assert!(
        run.code == 1 && run.stdout.contains("c.yaml:1: error: has entities of a catalog (give it with --catalog)"),
        "{}",
        run.stdout
    );
}
