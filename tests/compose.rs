//! The compose file, Kong's settings and the images, as far as can be known without running Docker: what they name is there,
//! and what the filter needs of Kong is set.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests are tests too")]

use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The images, and what is known of their tags. None was pulled where this was written.
const IMAGES: [&str; 6] = [
    // Docker's list of official images (read, August 2026) has 3.9 for 3.9.3. Kong 3.9.3 was run, but built from source.
    "kong:3.9",
    // On the same list. Redis 7.0 was run.
    "redis:7.4",
    // Others' compose files name it. Webdis 0.1.9 was run.
    "nicolas/webdis:0.1.23",
    // Others pin it by its digest.
    "prom/prometheus:v3.5.0",
    // On Docker's list from April to May 2026, when 1.96 took its place; tags stay.
    "rust:1.95-bookworm",
    // On Docker's list.
    "debian:bookworm-slim",
];

fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text(path: &str) -> String {
    fs::read_to_string(file(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn compose() -> Value {
    serde_yaml_ng::from_str(&text("kong/docker-compose.yml")).unwrap()
}

fn services(compose: &Value) -> impl Iterator<Item = (&String, &Value)> {
    compose["services"].as_object().unwrap().iter()
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().into_iter().flatten().map(|text| text.as_str().unwrap())
}

/// The files that a service has, by their paths in it: those of the repository.
fn mounted(service: &Value) -> BTreeMap<String, PathBuf> {
    let binds = texts(&service["volumes"]).filter_map(|volume| volume.strip_prefix("./"));
    let bind = |volume: &str| {
        let (source, target) = volume.split_once(':').unwrap();
        (target.trim_end_matches(":ro").to_owned(), file("kong").join(source))
    };
    binds.map(bind).collect()
}

/// Kong's settings, by name.
fn settings() -> BTreeMap<String, String> {
    let text = text("kong/kong.env");
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut settings = BTreeMap::new();
    for line in lines {
        let (name, value) = line.split_once('=').unwrap_or_else(|| panic!("{line}"));
        assert!(settings.insert(name.to_owned(), value.to_owned()).is_none(), "{name} twice");
    }
    settings
}

#[test]
fn every_file_that_is_named_is_there() {
    let compose = compose();
    for (name, service) in services(&compose) {
        for source in mounted(service).values() {
            assert!(source.exists(), "{name}: {}", source.display());
        }
        if let Some(env_file) = service["env_file"].as_str() {
            assert!(file("kong").join(env_file).is_file(), "{name}: {env_file}");
        }
        if let Some(build) = service["build"].as_object() {
            let context = file("kong").join(build["context"].as_str().unwrap());
            assert!(context.join(build["dockerfile"].as_str().unwrap()).is_file(), "{name}");
        }
        let volumes = texts(&service["volumes"]).filter(|volume| !volume.starts_with("./"));
        for volume in volumes {
            let (volume, _) = volume.split_once(':').unwrap();
            assert!(compose["volumes"].get(volume).is_some(), "{name}: {volume}");
        }
        for needed in service["depends_on"].as_object().into_iter().flatten().map(|(needed, _)| needed.as_str()) {
            assert!(compose["services"].get(needed).is_some(), "{name}: {needed}");
        }
        // What a command names in the service's own file system is mounted there.
        let known = mounted(service);
        for path in texts(&service["command"]).filter(|word| word.starts_with("/etc/")) {
            assert!(known.contains_key(path), "{name}: {path}");
        }
    }
    for rules in
        texts(&serde_yaml_ng::from_str::<Value>(&text("kong/prometheus/prometheus.yml")).unwrap()["rule_files"])
    {
        assert!(file("kong/prometheus").join(rules).is_file(), "{rules}");
    }
}

#[test]
fn every_image_is_one_of_which_something_is_known() {
    let compose = compose();
    let dockerfile = text("kong/peers.Dockerfile");
    let built_on =
        dockerfile.lines().filter_map(|line| line.strip_prefix("FROM ")).map(|from| from.split(' ').next().unwrap());
    let run = services(&compose).filter_map(|(_, service)| service["image"].as_str());
    let mut images: Vec<_> = built_on.chain(run).collect();
    let mut known = IMAGES.to_vec();
    images.sort_unstable();
    known.sort_unstable();
    assert_eq!(images, known);
}

#[test]
fn the_peers_are_built_from_what_is_there() {
    let dockerfile = text("kong/peers.Dockerfile");
    // The whole folder is copied, so that a path of the build is one of the repository.
    assert!(dockerfile.contains("\nCOPY . .\n"));
    assert!(dockerfile.contains("cargo build --locked -p test-harness --bin lab\n"));
    assert!(file("test-harness/src/bin/lab.rs").is_file() && file("Cargo.lock").is_file());
    assert!(dockerfile.contains("/src/target/debug/lab /usr/local/bin/lab\n"));
    let ignored = text(".dockerignore");
    assert!(!ignored.lines().any(|line| ["crates", "kong", "test-harness"].contains(&line)), "{ignored}");
    let cargo: Vec<_> = text("Cargo.toml")
        .lines()
        .filter_map(|line| line.strip_prefix("rust-version = \"").map(str::to_owned))
        .collect();
    assert_eq!(cargo, ["1.95\""]);
}

#[test]
fn kong_finds_its_files_where_they_are_mounted() {
    let (compose, settings) = (compose(), settings());
    let kong = &compose["services"]["kong"];
    assert_eq!(kong["env_file"], "kong.env");
    let mounted = mounted(kong);
    assert_eq!(mounted[&settings["KONG_DECLARATIVE_CONFIG"]], file("kong/kong.yml"));
    let filters = &mounted[&settings["KONG_WASM_FILTERS_PATH"]];
    assert_eq!(filters, &file("kong/filters"));
    // Kong looks for the metadata under the filter's name. A hyphen in that breaks its page of metrics.
    assert!(filters.join("backstage_kong.meta.json").is_file());
    // The ports that are published are those that Kong listens on, and the one that Prometheus scrapes.
    for (setting, port) in [("KONG_PROXY_LISTEN", "8000"), ("KONG_STATUS_LISTEN", "8100")] {
        assert_eq!(settings[setting], format!("0.0.0.0:{port}"));
        assert!(texts(&kong["ports"]).any(|published| published == format!("127.0.0.1:{port}:{port}")));
    }
    assert!(text("kong/prometheus/prometheus.yml").contains("targets: [kong:8100]"));
    // The names and ports of kong.yml are those of the network.
    let kong_yml = text("kong/kong.yml");
    let peers: Vec<_> = texts(&compose["services"]["peers"]["command"]).collect();
    for port in ["9080", "9081"] {
        assert!(
            kong_yml.contains(&format!("http://peers:{port}")) && peers.contains(&format!("0.0.0.0:{port}").as_str())
        );
    }
}

#[test]
fn every_zone_that_the_filter_asks_for_by_default_is_defined() {
    let settings = settings();
    let metadata: Value = serde_json::from_str(&text("kong/filters/backstage_kong.meta.json")).unwrap();
    let zones = metadata.pointer("/config_schema/properties/shared_data/properties").unwrap().as_object().unwrap();
    let named = zones
        .values()
        .map(|zone| format!("KONG_NGINX_WASM_SHM_KV_{}", zone["default"].as_str().unwrap().to_uppercase()));
    let mut needed: Vec<_> = named.chain(["KONG_NGINX_WASM_SHM_KV".to_owned()]).collect();
    let mut defined: Vec<_> =
        settings.keys().filter(|name| name.starts_with("KONG_NGINX_WASM_SHM_KV")).cloned().collect();
    needed.sort();
    defined.sort();
    assert_eq!(needed, defined);
    for name in defined {
        // A size alone: with `eviction=none` a full zone traps.
        let size = settings[&name].strip_suffix('m').and_then(|size| size.parse::<u32>().ok());
        assert!(size.is_some_and(|size| size > 0), "{name}");
    }
}

#[test]
fn what_the_filter_needs_of_kong_is_set() {
    let settings = settings();
    for (name, value) in [
        ("KONG_DATABASE", "off"),
        ("KONG_WASM", "on"),
        ("KONG_WASM_FILTERS", "user"),
        // Background calls resolve names by Kong's DNS, not by the module's own resolver, which is a public one.
        ("KONG_NGINX_WASM_PROXY_WASM_LUA_RESOLVER", "on"),
        ("KONG_LUA_SSL_TRUSTED_CERTIFICATE", "system"),
        ("KONG_NGINX_WASM_TLS_VERIFY_CERT", "on"),
        ("KONG_NGINX_WASM_TLS_VERIFY_HOST", "on"),
        // `prometheus` is bundled.
        ("KONG_PLUGINS", "bundled"),
        ("KONG_ADMIN_LISTEN", "off"),
    ] {
        assert_eq!(settings.get(name).map(String::as_str), Some(value), "{name}");
    }
    // Audit lines are written at `warn` by default.
    assert!(["debug", "info", "notice", "warn"].contains(&settings["KONG_LOG_LEVEL"].as_str()));
    // Kong knows a setting in any case, but takes its value under the upper-case name only.
    for name in settings.keys() {
        assert!(name.starts_with("KONG_") && *name == name.to_uppercase(), "{name}");
    }
}

#[test]
fn every_setting_that_the_pages_name_is_in_kong_env_or_known_to_be_a_choice() {
    // Commented lines count: they show how.
    let env = text("kong/kong.env");
    let choices = ["KONG_NGINX_HTTP_LARGE_CLIENT_HEADER_BUFFERS", "KONG_NGINX_PROXY_LARGE_CLIENT_HEADER_BUFFERS"];
    let of_kong = fs::read_dir(file("kong")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let of_kong: Vec<_> = of_kong.filter(|name| name.ends_with(".md")).map(|name| format!("kong/{name}")).collect();
    assert!(of_kong.len() >= 14, "{of_kong:?}");
    for page in of_kong.iter().map(String::as_str).chain(["README.md"]) {
        for after in text(page).split("KONG_").skip(1) {
            let end = after.find(|c: char| !c.is_ascii_uppercase() && c != '_').unwrap_or(after.len());
            // What ends in an underscore is the beginning of names.
            let name = format!("KONG_{}", &after[..end]);
            assert!(env.contains(&name) || choices.contains(&name.as_str()), "{page}: {name}");
        }
    }
}
