//! Mistakes: each is told with file, line and fix.

use crate::support::Folder;
use crate::{TEMPLATE, api, generated};

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
        // The filter would take it, but Kong does not.
        (
            &format!("{TEMPLATE}realm: null\n"),
            "t.yaml:2: error: realm: is null; it must be a string (for api:default/x)",
        ),
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
fn routes_that_are_in_each_others_way_are_told() {
    let entity =
        |name: &str, rest: &str| api(name, &format!("{{backstage-kong/upstream: 'http://x', {rest}}}"), "{owner: g}");
    let path = |name: &str, path: &str| entity(name, &format!("backstage-kong/paths: {path}"));
    let host = |name: &str, path: &str, host: &str| {
        entity(name, &format!("backstage-kong/paths: {path}, backstage-kong/hosts: '{host}'"))
    };
    for (one, two, code, expected) in [
        (
            path("x", "/a"),
            path("y", "/a"),
            1,
            "c.yaml:12: error: path \"/a\" is api:default/x's too, at c.yaml:5 (each path can be one entity's)\n",
        ),
        (
            path("x", "/a"),
            path("y", "/a/b"),
            0,
            "c.yaml:12: warning: path \"/a/b\" takes requests from api:default/x's \"/a\", at c.yaml:5\n",
        ),
        (
            path("x", "/pay"),
            path("y", "/payments"),
            0,
            "c.yaml:12: warning: path \"/payments\" takes requests from api:default/x's \"/pay\", at c.yaml:5\n",
        ),
        (path("x", "/a"), path("y", "/b"), 0, ""),
        (path("x", "'/a, /a/b'"), path("y", "/b"), 0, ""),
        (host("x", "/a", "h"), host("y", "/a", "i"), 0, ""),
        (host("x", "/a", "h"), host("y", "/a", "i, h"), 1, "c.yaml:12: error: path \"/a\" is api:default/x's too"),
        (path("x", "/a"), host("y", "/a", "i"), 0, ""),
    ] {
        let run = generated("conflicts", &(one + &two), TEMPLATE, &[]);
        assert_eq!(run.code, code, "{}", run.stderr);
        assert!(
            run.stderr.starts_with(expected) && run.stderr.is_empty() == expected.is_empty(),
            "{}\nshould begin with\n{expected}",
            run.stderr
        );
    }
    let kong_yml = "_format_version: '3.0'\nservices:\n- name: s\n  host: h\n  routes: [{name: x, paths: [/x]}]\n";
    let folder = Folder::new("names", &[("t.yaml", TEMPLATE), ("kong.yml", kong_yml), ("c.yaml", &path("x", "/a"))]);
    let run = folder.run(&["generate", "--catalog", "c.yaml", "--template", "t.yaml", "--into", "kong.yml"]);
    assert_eq!(run.code, 1);
    assert!(
        run.stderr.starts_with("c.yaml:4: error: its route \"x\" has the name of another, at kong.yml:5"),
        "{}",
        run.stderr
    );
}
