use super::*;
use std::fs;
use std::path::PathBuf;

/// A folder of files, deleted when it goes.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let folder = Self(std::env::temp_dir().join(format!("backstage-kong-{name}-{}", std::process::id())));
        for (file, text) in files {
            let path = folder.0.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn read(&self, patterns: &[&str]) -> anyhow::Result<Catalog> {
        let patterns: Vec<_> =
            patterns.iter().map(|pattern| self.0.join(pattern).to_string_lossy().into_owned()).collect();
        files::read(&patterns)
    }

    fn findings(&self, catalog: &Catalog) -> Vec<String> {
        let folder = format!("{}/", self.0.display());
        catalog.findings.iter().map(|finding| finding.to_string().replace(&folder, "")).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const SHOP: &str = "
kind: API
metadata: {name: Payments, namespace: Shop}
spec: {owner: payments, system: till, lifecycle: production}
---
kind: Component
metadata: {name: web, annotations: {a/b: ' x '}}
spec:
  owner: user:ada
  consumesApis: [shop/payments, component:odd]
  providesApis:
  - own
---
kind: Group
metadata: {name: a}
spec: {parent: b, children: [c, d], members: [ada]}
---
kind: User
metadata: {name: bob}
spec: {memberOf: [a, group:Shop/b]}
---
kind: Template
metadata: {name: t}
spec: {owner: a}
";

#[test]
fn relations_are_made_of_specs_as_backstage_makes_them() {
    let folder = Folder::new("derive", &[("c.yaml", SHOP)]);
    let catalog = folder.read(&["c.yaml"]).unwrap();
    assert_eq!(folder.findings(&catalog), [""; 0]);
    let found: Vec<_> = catalog
        .relationships
        .iter()
        .map(|relationship| {
            let Place::Line(_, line) = &relationship.place else { panic!("{relationship:?}") };
            format!("{line} {} {} {}", relationship.from, relationship.link.name(), relationship.to)
        })
        .collect();
    assert_eq!(
        found,
        [
            "4 api:shop/payments ownedBy group:shop/payments",
            "4 api:shop/payments partOf system:shop/till",
            "9 component:default/web ownedBy user:default/ada",
            "12 component:default/web providesApi api:default/own",
            "10 component:default/web consumesApi api:shop/payments",
            "10 component:default/web consumesApi component:default/odd",
            "16 group:default/a childOf group:default/b",
            "16 group:default/c childOf group:default/a",
            "16 group:default/d childOf group:default/a",
            "16 user:default/ada memberOf group:default/a",
            "20 user:default/bob memberOf group:default/a",
            "20 user:default/bob memberOf group:shop/b",
        ]
    );
    let web = &catalog.items[&EntityRef::parse_full("component:default/web").unwrap()];
    assert_eq!(web.annotation("a/b"), Some("x"));
}

#[test]
fn the_index_has_owners_and_consumers() {
    let folder = Folder::new("index", &[("c.yaml", SHOP)]);
    let index = folder.read(&["c.yaml"]).unwrap().build(Consumers::Declared, false, &[]).index;
    let entry = index.entity(&EntityRef::parse_full("api:shop/payments").unwrap()).unwrap();
    assert_eq!(entry.owners[0].as_str(), "group:shop/payments");
    assert_eq!(entry.consumers[0].as_str(), "user:default/ada");
    assert_eq!(entry.lifecycle.as_deref(), Some("production"));
}

#[test]
fn locations_are_followed_and_each_file_is_read_once() {
    let folder = Folder::new(
        "locations",
        &[
            (
                "all.yaml",
                "kind: Location\nmetadata: {name: all}\nspec:\n  targets:\n  - ./apis/*.yaml\n  - groups.yaml\n  - https://example.com/catalog-info.yaml\n  - missing.yaml\n",
            ),
            (
                "apis/a.yaml",
                "kind: API\nmetadata: {name: a}\nspec: {owner: g}\n---\nkind: Location\nmetadata: {name: back}\nspec: {target: ../all.yaml}\n",
            ),
            ("groups.yaml", "kind: Group\nmetadata: {name: g}\n"),
            ("service/catalog-info.yaml", "kind: Component\nmetadata: {name: s}\n"),
        ],
    );
    let catalog = folder.read(&["all.yaml", "all.yaml", ""]).unwrap();
    let names: Vec<_> = catalog.items.keys().map(EntityRef::as_str).collect();
    assert_eq!(names, ["api:default/a", "component:default/s", "group:default/g"]);
    assert_eq!(
        folder.findings(&catalog),
        [
            "all.yaml:7: warning: https://example.com/catalog-info.yaml is not followed: only files are read (read it with --backstage, or give its files)",
            "all.yaml:8: error: missing.yaml is no file",
        ]
    );
}

#[test]
fn what_is_no_entity_is_told_with_its_line() {
    for (text, expected) in [
        (
            "kind: API\nmetadata:\n  name: [x]\n",
            "c.yaml:3: error: is no entity of Backstage's catalog: it needs a text under `metadata.name`",
        ),
        ("a: 1\n", "c.yaml:1: error: is no entity of Backstage's catalog: it needs a text under `kind`"),
        (
            "kind: API\nmetadata:\n  namespace: a_b\n  name: x\n",
            "c.yaml:4: error: \"API:a_b/x\" has an invalid namespace",
        ),
        ("kind: A-B\nmetadata: {name: x}\n", "c.yaml:1: error: \"A-B:default/x\" has an invalid kind"),
        (
            "kind: API\nmetadata: {name: x}\nspec:\n  owner: a b\n",
            "c.yaml:4: error: spec.owner: \"a b\" has an invalid name",
        ),
        (
            "kind: API\nmetadata: {name: x}\n---\nkind: api\nmetadata: {name: X}\n",
            "c.yaml:5: error: api:default/x is there twice, first at c.yaml:2 (keep one of them)",
        ),
        ("kind: API\nx: ]", "c.yaml:2: error: is not YAML"),
    ] {
        let folder = Folder::new("wrong", &[("c.yaml", text)]);
        let findings = folder.findings(&folder.read(&["c.yaml"]).unwrap());
        assert!(findings.len() == 1 && findings[0].starts_with(expected), "{findings:?}\nshould be\n{expected}");
    }
    let folder = Folder::new("none", &[]);
    assert!(folder.read(&["*.yaml"]).unwrap_err().to_string().starts_with("no file fits"));
}

#[test]
fn definitions_are_texts_or_files_beside_the_entity() {
    let text = "kind: API\nmetadata: {name: a}\nspec:\n  definition: |\n    servers: [{url: http://a}]\n---\n\
                kind: API\nmetadata: {name: b}\nspec: {definition: {$text: ./b.json}}\n---\n\
                kind: API\nmetadata: {name: c}\nspec: {definition: {$text: missing.json}}\n---\n\
                kind: API\nmetadata: {name: d}\nspec: {definition: {$text: 'https://example.com/x'}}\n---\n\
                kind: API\nmetadata: {name: e}\nspec: {definition: 'type Query { a: Int, b: [ }'}\n";
    let folder = Folder::new("definition", &[("c.yaml", text), ("b.json", "{\"servers\": []}")]);
    let catalog = folder.read(&["c.yaml"]).unwrap();
    let of = |name: &str| catalog.items[&EntityRef::new("api", "default", name).unwrap()].definition();
    assert!(of("a").unwrap().unwrap().node.get("servers").is_some());
    assert!(of("b").unwrap().unwrap().place.to_string().ends_with("b.json:1"));
    assert!(of("c").unwrap_err().to_string().contains("c.yaml:13: error: spec.definition: "));
    assert!(of("d").unwrap().is_none() && of("e").unwrap().is_none());
}
