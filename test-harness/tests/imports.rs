//! The compiled filter imports only what Kong 3.9 offers, by name and by signature: one import more and Kong does not load
//! it, and then proxies without any filter. And it exports what Kong calls: one export less and a worker dies of it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests are tests too")]

use std::collections::BTreeMap;
use test_harness::{FilterModule, built_filter};
use wasmparser::{FuncType, Parser, Payload, TypeRef, ValType};

/// What the host offers.
const OFFERED: &str = include_str!("../kong-3.9-imports.txt");

/// Largest compiled filter. Kong compiles it in every worker and keeps it in each one's memory.
const MAX_BYTES: usize = 1_450_000;

/// `module name` → signature.
fn offered() -> BTreeMap<&'static str, &'static str> {
    let lines = OFFERED.lines().map(|line| line.split('#').next().unwrap().trim());
    let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
    lines.iter().map(|line| line.split_at(line.find('(').unwrap())).collect()
}

fn imports(module: &[u8]) -> BTreeMap<String, String> {
    let (mut types, mut imports) = (Vec::new(), BTreeMap::new());
    for payload in Parser::new(0).parse_all(module) {
        match payload.unwrap() {
            Payload::TypeSection(section) => {
                types = section.into_iter_err_on_gc_types().collect::<Result<Vec<_>, _>>().unwrap();
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import.unwrap();
                    let TypeRef::Func(index) = import.ty else { panic!("{import:?} is no function") };
                    let signature = signature(&types[usize::try_from(index).unwrap()]);
                    imports.insert(format!("{} {}", import.module, import.name), signature);
                }
            }
            _ => {}
        }
    }
    imports
}

fn signature(function: &FuncType) -> String {
    let list = |types: &[ValType]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let results = if function.results().is_empty() { "()".to_owned() } else { list(function.results()) };
    format!("({}) -> {results}", list(function.params()))
}

#[test]
fn the_list_of_what_kong_offers_is_read_whole() {
    let offered = offered();
    assert_eq!(offered.len(), OFFERED.lines().filter(|line| !line.starts_with('#')).count());
    assert_eq!(offered["env proxy_log"], "(i32, i32, i32) -> i32");
    assert_eq!(offered["wasi_snapshot_preview1 proc_exit"], "(i32) -> ()");
}

#[test]
#[ignore = "needs the release wasm; make check-imports and make test run it"]
fn the_filter_imports_only_what_kong_offers() {
    let offered = offered();
    let imports = imports(&std::fs::read(built_filter().unwrap()).unwrap());
    assert!(imports.len() > 5, "{imports:?}");
    let refused: Vec<_> = imports
        .iter()
        .filter(|(name, signature)| offered.get(name.as_str()) != Some(&signature.as_str()))
        .map(|(name, signature)| format!("{name}{signature}, offered: {:?}", offered.get(name.as_str())))
        .collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

/// What Kong calls, whether it is there or not: a worker dies of what is missing.
const CALLED: [&str; 13] = [
    "proxy_on_configure",
    "proxy_on_context_create",
    "proxy_on_delete",
    "proxy_on_done",
    "proxy_on_foreign_function",
    "proxy_on_http_call_response",
    "proxy_on_log",
    "proxy_on_request_body",
    "proxy_on_request_headers",
    "proxy_on_response_body",
    "proxy_on_response_headers",
    "proxy_on_tick",
    "proxy_on_vm_start",
];

#[test]
#[ignore = "needs the release wasm; make check-imports and make test run it"]
fn the_filter_exports_every_callback_that_kong_calls() {
    let module = FilterModule::load(built_filter().unwrap()).unwrap();
    let missing: Vec<_> = CALLED.into_iter().filter(|name| !module.exports(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
#[ignore = "needs the release wasm; make check-imports and make test run it"]
fn the_filter_is_small() {
    let bytes = std::fs::metadata(built_filter().unwrap()).unwrap().len();
    println!("{bytes} bytes");
    assert!(usize::try_from(bytes).unwrap() <= MAX_BYTES, "{bytes} bytes");
}
