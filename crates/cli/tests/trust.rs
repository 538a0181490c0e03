//! What somebody writes into the catalog that is not theirs to say, as the built command sees it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests are tests too")]

mod support;

use serde_json::{Value, json};
use support::{Folder, Run};

const RIGHTFUL: &str = "\
kind: API
metadata:
  name: payments
  annotations:
    kong-manager/service-name: pay
    backstage-kong/paths: /pay
    backstage-kong/upstream: http://payments
spec: {owner: payments}
---
kind: Component
metadata:
  name: payments-service
  annotations: {kong-manager/service-name: pay}
spec: {owner: payments, providesApis: [payments]}
---
kind: Group
metadata: {name: payments}
---
kind: Group
metadata: {name: checkout}
---
kind: Group
metadata: {name: evil}
---
kind: Component
metadata: {name: web}
spec: {owner: checkout, consumesApis: [payments]}
";
/// What anybody may register: another API of that service, and a component that consumes the one that is there.
const EVIL: &str = "\
kind: API
metadata:
  name: aaa
  annotations:
    backstage-kong/service: pay
spec: {owner: evil}
---
kind: Component
metadata: {name: evil}
spec: {owner: evil, consumesApis: [payments]}
";
const TEMPLATE: &str = "\
issuers: [{issuer: 'https://login.example.com', audiences: [x]}]
catalog: {url: 'http://backstage'}
";

fn folder(name: &str) -> Folder {
    Folder::new(name, &[("good.yaml", RIGHTFUL), ("evil.yaml", EVIL), ("t.yaml", TEMPLATE)])
}

fn generate(folder: &Folder, catalog: &[&str], args: &[&str]) -> Run {
    let catalogs: Vec<_> = catalog.iter().flat_map(|file| ["--catalog", file]).collect();
    folder.run(&[&["generate", "--template", "t.yaml"], catalogs.as_slice(), args].concat())
}

fn yaml(text: &str) -> Value {
    serde_yaml_ng::from_str(text).unwrap()
}

#[test]
fn what_was_generated_stays_and_the_newcomer_is_told() {
    for target in ["--into", "--output"] {
        let folder = folder("keeps");
        let args = [target, "kong.yml"];
        let first = generate(&folder, &["good.yaml"], &args);
        assert_eq!((first.code, first.stderr.as_str()), (0, ""));
        let before = folder.read("kong.yml");
        let warning = "evil.yaml:5: warning: Kong service \"pay\" is api:default/payments's, at good.yaml:5; this claim changes nothing (take it out)\n";
        for catalog in [["evil.yaml", "good.yaml"], ["good.yaml", "evil.yaml"]] {
            let run = generate(&folder, &catalog, &args);
            assert_eq!((run.code, run.stderr.as_str()), (0, warning), "{target}");
            let pay = yaml(&folder.read("kong.yml"))["services"][0].clone();
            assert_eq!(pay["filter_chains"][0]["filters"][0]["config"]["entity"], "api:default/payments");
            assert_eq!(pay["filter_chains"][0]["filters"][0]["config"]["owner"], "group:default/payments");
        }
        // It consumes the API by its own word, and may read.
        assert_eq!(
            folder.read("kong.yml"),
            before.replace("[group:default/checkout]", "[group:default/checkout, group:default/evil]")
        );
    }
    // Where nothing was generated before, nobody knows who is right.
    let folder = folder("fresh");
    let run = generate(&folder, &["good.yaml", "evil.yaml"], &["--output", "kong.yml"]);
    let error = "good.yaml:5: error: Kong service \"pay\" is api:default/aaa's too, at evil.yaml:5, and nobody had it before (give one of them another name by backstage-kong/service)\n";
    assert_eq!((run.code, run.stderr.as_str()), (1, error));
    // Who has dropped its claim holds nothing.
    assert_eq!(generate(&folder, &["good.yaml"], &["--output", "kong.yml"]).code, 0);
    folder.write("good.yaml", &RIGHTFUL.replace("name: pay\n", "name: other\n").replace("name: pay}", "name: other}"));
    folder.write(
        "evil.yaml",
        &EVIL.replace(
            "service: pay",
            "service: pay\n    backstage-kong/upstream: http://e\n    backstage-kong/paths: /e",
        ),
    );
    let run = generate(&folder, &["good.yaml", "evil.yaml"], &["--output", "kong.yml"]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    assert_eq!(yaml(&folder.read("kong.yml"))["services"][1]["tags"][1], "backstage-entity:api:default:aaa");
}

#[test]
fn a_tag_on_somebody_s_own_service_decides_whom_generate_serves() {
    let own = |tag: &str| format!("_format_version: \"3.0\"\nservices:\n- {{name: pay, host: h, tags: [{tag}]}}\n");
    let good = RIGHTFUL
        .replace("    backstage-kong/paths: /pay\n    backstage-kong/upstream: http://payments\n", "")
        .replace("kong-manager/service-name: pay\nspec", "backstage-kong/service: pay\nspec");
    for (tag, entity, told) in [
        (
            "backstage-entity:api:payments",
            Some("api:default/payments"),
            "evil.yaml:5: warning: Kong service \"pay\" is api:default/payments's",
        ),
        (
            "backstage-entity:api:ledger",
            None,
            "evil.yaml:5: warning: Kong service \"pay\" is api:default/ledger's, at api:default/ledger; this",
        ),
        ("other", None, "good.yaml:5: error: Kong service \"pay\" is api:default/aaa's too"),
    ] {
        let folder = Folder::new(
            "tagged",
            &[("good.yaml", &good), ("evil.yaml", EVIL), ("t.yaml", TEMPLATE), ("kong.yml", &own(tag))],
        );
        let run = generate(&folder, &["good.yaml", "evil.yaml"], &["--into", "kong.yml"]);
        assert!(run.stderr.starts_with(told), "{tag}: {}", run.stderr);
        let chain = yaml(&folder.read("kong.yml"))["filter_chains"][0].clone();
        assert_eq!(chain["filters"][0]["config"]["entity"], json!(entity), "{tag}");
    }
}

#[test]
fn all_that_is_generated_names_its_entity_so_that_no_annotation_decides() {
    for ownership in ["static", "live"] {
        let folder = folder("named");
        let run = generate(&folder, &["good.yaml"], &["--ownership", ownership]);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""));
        let service = &yaml(&run.stdout)["services"][0];
        let tags = json!(["managed-by:backstage-kong", "backstage-entity:api:default:payments"]);
        for tagged in [service, &service["routes"][0], &service["filter_chains"][0]] {
            assert_eq!(tagged["tags"], tags, "{ownership}");
        }
        assert_eq!(
            service["filter_chains"][0]["filters"][0]["config"]["entity"], "api:default/payments",
            "{ownership}"
        );
    }
}

#[test]
fn consumers_are_written_out_as_the_template_says() {
    let annotated = RIGHTFUL.replace(
        "spec: {owner: payments}\n",
        "    backstage-kong/approved-consumers: group:default/checkout\nspec: {owner: payments}\n",
    );
    for (consumers, expected) in [
        ("", json!(["group:default/checkout", "group:default/evil"])),
        (", consumers: declared", json!(["group:default/checkout", "group:default/evil"])),
        (", consumers: approved", json!(["group:default/checkout"])),
        (", consumers: none", Value::Null),
    ] {
        let template = TEMPLATE.replace("'http://backstage'", &format!("'http://backstage'{consumers}"));
        let evil = EVIL.split("---\n").nth(1).unwrap();
        let folder = Folder::new("consumers", &[("good.yaml", &annotated), ("evil.yaml", evil), ("t.yaml", &template)]);
        let run = generate(&folder, &["good.yaml", "evil.yaml"], &[]);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{consumers}");
        let config = &yaml(&run.stdout)["services"][0]["filter_chains"][0]["filters"][0]["config"];
        assert_eq!(config["consumers"], expected, "{consumers}");
        assert_eq!(config["policy"]["rules"][1], json!({"name": "catalog-write", "allow": ["owner"]}), "{consumers}");
    }
    let folder = folder("consumers-wrong");
    folder.write("t.yaml", &TEMPLATE.replace("'http://backstage'", "'http://backstage', consumers: trusted"));
    let run = generate(&folder, &["good.yaml"], &[]);
    assert_eq!(
        (run.code, run.stderr.as_str()),
        (1, "t.yaml:2: error: catalog.consumers: it must be declared, approved or none\n")
    );
}

#[test]
fn check_tells_claims_and_who_decides_about_them() {
    let claim = "Kong service \"pay\" is claimed by api:default/aaa and api:default/payments, and nobody knows who had it first; where Kong does not name its entity, nobody may call it (leave it to one of them, and name that one in Kong's configuration)";
    let void = "evil.yaml:5: warning: Kong service \"pay\" is api:default/payments's by Kong's configuration; the claim of api:default/aaa changes nothing (take it out)";
    let config = |entity: &str| {
        format!("{{{entity}catalog: {{url: 'http://b'}}, issuers: [{{issuer: 'https://a', audiences: [x]}}]}}")
    };
    let kong = |rest: &str| {
        format!(
            "_format_version: \"3.0\"\nservices:\n- name: pay\n  host: h\n  routes: [{{name: r, paths: [/a]}}]\n{rest}"
        )
    };
    let chain = |entity: &str| {
        format!("  filter_chains: [{{filters: [{{name: backstage_kong, config: {}}}]}}]\n", config(entity))
    };
    let tagged = format!("  tags: [backstage-entity:api:payments]\n{}", chain(""));
    let both = [format!("evil.yaml:5: error: {claim}"), format!("good.yaml:5: error: {claim}")];
    let unnamed =
        "kong.yml:6: error: names no entity, and the catalog does not say which one is behind service \"pay\"";
    for (rest, expected) in [
        (kong(&chain("")), vec![both[0].as_str(), both[1].as_str(), unnamed]),
        (kong(&chain("entity: 'api:default/payments', ")), vec![void]),
        (kong(&tagged), vec![void]),
        (
            kong(&chain("entity: 'api:default/aaa', ")),
            vec![
                "good.yaml:5: warning: Kong service \"pay\" is api:default/aaa's by Kong's configuration; the claim of api:default/payments changes nothing",
            ],
        ),
    ] {
        let folder = folder("check-claims");
        folder.write("kong.yml", &rest);
        let run = folder.run(&["check", "kong.yml", "--catalog", "good.yaml", "--catalog", "evil.yaml"]);
        let found: Vec<_> = run.stdout.lines().collect();
        let fits = found.len() == expected.len()
            && found.iter().zip(&expected).all(|(found, expected)| found.starts_with(expected));
        assert!(fits, "{found:#?}\nshould begin with\n{expected:#?}");
    }
}

#[test]
fn check_tells_who_can_become_a_consumer_and_what_that_gives() {
    let with = |annotations: &str| {
        RIGHTFUL.replace(
            "spec: {owner: payments}\n---\nkind: Component",
            &format!("{annotations}spec: {{owner: payments}}\n---\nkind: Component"),
        )
    };
    for (annotations, expected) in [
        ("", ""),
        ("    backstage-kong/access: owner\n", ""),
        ("    backstage-kong/access: owner, consumer\n    backstage-kong/write-access: owner, consumer\n", ""),
        (
            "    backstage-kong/access: owner, consumer\n    backstage-kong/approved-consumers: group:default/checkout\n",
            "",
        ),
        (
            "    backstage-kong/access: owner, consumer\n",
            "good.yaml:8: warning: backstage-kong/access: consumers write too, and whoever registers a component can be one (say backstage-kong/write-access: owner, or owner, consumer if that is meant)",
        ),
        (
            "    backstage-kong/approved-consumers: group:default/chekout\n",
            "good.yaml:8: error: backstage-kong/approved-consumers: the catalog has no group:default/chekout (did you mean group:default/checkout?)",
        ),
        (
            "    backstage-kong/approved-consumers: checkout\n",
            "good.yaml:8: error: backstage-kong/approved-consumers: is \"checkout\"; it must be groups and users in full, such as group:default/checkout, with commas; it approves no consumer",
        ),
    ] {
        let folder = Folder::new("check-consumers", &[("good.yaml", &with(annotations))]);
        let run = folder.run(&["check", "--catalog", "good.yaml"]);
        assert_eq!(run.stdout.trim_end(), expected, "{annotations}");
    }
    let rule = |consumers: &str| {
        format!(
            "entity: api:default/payments\ncatalog: {{url: 'http://b', consumers: {consumers}}}\nissuers: [{{issuer: 'https://a', audiences: [x]}}]\npolicy: {{rules: [{{allow: [owner, consumer]}}]}}\n"
        )
    };
    for (consumers, expected) in [
        ("declared", ""),
        (
            "none",
            "f.yaml:4: warning: policy.rules[0].allow[1]: `catalog.consumers` is `none`, so nobody is one (take it out, or say declared or approved)",
        ),
        (
            "trusted",
            "f.yaml:2: error: catalog.consumers: unknown variant, expected one of `declared`, `approved`, `none`",
        ),
    ] {
        let folder = Folder::new("check-rule", &[("f.yaml", &rule(consumers))]);
        assert_eq!(folder.run(&["check", "f.yaml"]).stdout.trim_end(), expected, "{consumers}");
    }
}

#[test]
fn explain_tells_whose_word_makes_a_consumer_and_who_claims_a_service() {
    let folder = folder("explain");
    let explained = |consumers: &str, catalog: &[&str], request: &str| {
        let config = format!(
            "catalog: {{url: 'http://b', consumers: {consumers}}}\nissuers: [{{issuer: 'https://a', audiences: [x]}}]\n"
        );
        folder.write("f.yaml", &config);
        let catalogs: Vec<_> = catalog.iter().flat_map(|file| ["--catalog", file]).collect();
        let args = [
            "explain",
            "--config",
            "f.yaml",
            "--service",
            "pay",
            "--offline",
            "-r",
            request,
            "--claims",
            "{\"sub\":\"eve\",\"groups\":[\"evil\"]}",
        ];
        folder.run(&[&args[..], catalogs.as_slice()].concat())
    };
    let (good, component) = ("good.yaml", "component.yaml");
    folder.write(component, EVIL.split("---\n").nth(1).unwrap());
    for (consumers, request, code, said) in [
        (
            "declared",
            "GET /",
            0,
            &[
                "consumed by group:default/checkout, group:default/evil  by catalog, consumers declared",
                "catalog (owner, consumer)  by group:default/evil",
            ][..],
        ),
        ("declared", "POST /", 1, &["✗ catalog (owner)", "denied, 403  reason not_allowed"]),
        ("approved", "GET /", 1, &["consumed by nobody  by catalog, consumers approved"]),
        ("none", "GET /", 1, &["consumed by nobody  by catalog, consumers none"]),
    ] {
        let run = explained(consumers, &[good, component], request);
        assert_eq!(run.code, code, "{}", run.stdout);
        for said in said {
            assert!(run.stdout.contains(said), "{said}: {}", run.stdout);
        }
    }
    let run = explained("declared", &[good, "evil.yaml"], "GET /");
    let note = "api:default/aaa and api:default/payments claim service \"pay\": a gateway that knew one of them before goes on with that one";
    assert!(
        run.code == 1 && run.stdout.contains(note) && run.stdout.contains("reason entity_ambiguous"),
        "{}",
        run.stdout
    );
}
