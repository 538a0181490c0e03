//! What Kong refuses, or reads otherwise.

use crate::support::root;
use crate::{FINE, begin, config, found, kong_yml};

#[test]
fn what_only_kong_refuses_is_found_with_its_path_and_line() {
    let (rules, quotas) =
        (FINE, "quotas: {policies: [{name: a, per: user, windows: [1/1m]}, {name: a, per: user, windows: [1/1h]}]}");
    let cases = [
        (format!("{rules}, realm: null"), "realm: is null; it must be a string (Kong does not load it as it is)"),
        (
            format!("{rules}, consumers: [checkout, checkout]"),
            "consumers: has an item twice (Kong does not load it as it is)",
        ),
        // This Kong loads, and the route answers 503.
        (format!("{rules}, {quotas}"), "quotas.policies[1].name: \"a\" is there twice; each may stand once"),
    ];
    for (rest, expected) in cases {
        begin(&found("f.yaml", &config(&rest), None), &[&format!("f.yaml:1: error: {expected}")]);
        let path = "services[0].filter_chains[0].filters[0].config";
        begin(&found("kong.yml", &kong_yml(&config(&rest)), None), &[&format!("kong.yml:9: error: {path}.{expected}")]);
    }
}

#[test]
fn what_kong_s_reader_takes_for_something_else_is_found() {
    let text = config(&format!(
        "{FINE}, realm: '1:30', issuers: [{{issuer: 'https://a', audiences: [1:30], groups: {{table: {{42: payments}}}}}}]"
    ));
    let text = text.replace("issuers: [{issuer: 'https://a', audiences: [x]}], ", "");
    begin(
        &found("f.yaml", &text, None),
        &[
            "f.yaml:1: error: \"1:30\" without quotes is the number 90 to Kong (put it in quotes, or write what is meant)",
            "f.yaml:1: error: \"42\" without quotes is the number 42 to Kong",
        ],
    );
}

#[test]
fn every_yaml_that_is_shipped_is_the_same_to_kong_s_reader() {
    fn walk(folder: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml") {
                found.push(path);
            }
        }
    }
    let mut files = Vec::new();
    ["kong", "examples"].iter().for_each(|folder| walk(&root().join(folder), &mut files));
    assert!(files.len() >= 8, "{files:?}");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(backstage_kong_cli::yaml::read_otherwise(&text), [], "{}", file.display());
    }
}

#[test]
fn texts_that_kong_refuses_are_found() {
    let text = "\
_format_version: \"3.0\"
services:
- name: pay/ments
  host: a
  tags: [fine, entity:api:default/payments, 'a,b']
  routes:
  - {name: r, paths: [/a, 'a', '/a b', '~/b$'], methods: [GET, get], hosts: ['*.a', 'http://b']}
consumers:
- {username: u, tags: [a/b]}
";
    let found = found("kong.yml", text, None);
    begin(
        &found,
        &[
            "kong.yml:3: error: services[0].name: \"pay/ments\" is no name to Kong",
            "kong.yml:5: error: services[0].tags[1]: \"entity:api:default/payments\" is no tag to Kong: printable characters other than ',' and '/' are (an entity's tag is backstage-entity:<kind>:<namespace>:<name>)",
            "kong.yml:5: error: services[0].tags[2]: \"a,b\" is no tag to Kong",
            "kong.yml:7: error: services[0].routes[0].hosts[1]: \"http://b\" is no host name",
            "kong.yml:7: error: services[0].routes[0].methods[1]: \"get\" is no method",
            "kong.yml:7: error: services[0].routes[0].paths[1]: \"a\" is no path",
            "kong.yml:7: error: services[0].routes[0].paths[2]: \"/a b\" has characters",
            "kong.yml:7: warning: services[0].routes[0]: route \"r\" has no entity: the filter is neither on it nor on its service (give it a filter chain with backstage_kong)",
            "kong.yml:9: error: consumers[0].tags[0]: \"a/b\" is no tag to Kong",
        ],
    );
}

#[test]
fn names_and_chains_that_kong_would_not_take_twice_are_found() {
    let chain = "filters: [{name: other}]";
    let text = format!(
        "_format_version: \"3.0\"\nservices:\n- {{name: a, host: h}}\n- {{name: a, host: h}}\n- name: b\n  host: h\n  filter_chains:\n  - {{{chain}}}\nfilter_chains:\n- {{service: b, {chain}}}\n- {{service: nobody, {chain}}}\n- {{{chain}}}\n"
    );
    begin(
        &found("kong.yml", &text, None),
        &[
            "kong.yml:4: error: services[1].name: \"a\" is taken on line 3",
            "kong.yml:8: error: services[2].filter_chains[0]: its service or route has a chain already, on line 10",
            "kong.yml:11: error: filter_chains[1]: belongs neither to a service nor to a route of this file",
            "kong.yml:12: error: filter_chains[2]: belongs neither",
        ],
    );
}
