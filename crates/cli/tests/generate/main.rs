//! `backstage-kong generate`, as the built command.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests are tests too")]

mod files;
mod mistakes;
mod services;
#[path = "../support/mod.rs"]
mod support;

use kong_yml::schema::Schema;
use kong_yml::{Filters, KongYml};
use serde_json::Value;
use support::Folder;

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
    let run = folder.run(&[&["generate", "--catalog", "c.yaml", "--template", "t.yaml"], args].concat());
    if !run.stdout.is_empty() {
        kong_takes(&run.stdout);
    }
    run
}

/// Validates what was generated as Kong does when it loads it.
fn kong_takes(kong_yml: &str) {
    let metadata = support::root().join("kong/filters/backstage_kong.meta.json");
    let schema = Schema::of_metadata(&std::fs::read_to_string(metadata).unwrap()).unwrap();
    let (config, _) = KongYml::parse(kong_yml, Filters::Loaded(&["backstage_kong"])).unwrap();
    config.validate("backstage_kong", &schema).unwrap();
}
