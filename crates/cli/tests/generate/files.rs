//! Files: what is written, what is merged into, what is left alone.

use crate::support::{Folder, root, run_in};
use crate::{TEMPLATE, api, yaml};
use serde_json::json;

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
            "c.yaml:5: error: there is a service \"legacy\" already, at kong.yml:7, that is not managed by backstage-kong",
        ),
        (
            "{backstage-kong/service: legacy}",
            &chained,
            "c.yaml:5: error: Kong service \"legacy\" has a filter chain already",
        ),
        (
            "{backstage-kong/upstream: 'http://x', backstage-kong/paths: /x}",
            inline,
            "kong.yml:2: error: `services` is written between brackets",
        ),
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
