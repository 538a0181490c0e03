use super::*;
use proptest::prelude::*;
use serde_json::json;

fn one(text: &str) -> Node {
    load(text).unwrap().remove(0)
}

const TEXT: &str = "# c
a: &x
  - b: |
      lit
      # in lit

    c: >-
      fold
  # comment
  - {q: [1,
     2]}
  -
    z: \"dq
      x\"
last: *x
";

#[test]
fn every_value_knows_its_lines() {
    let node = one(TEXT);
    let items = node.get("a").unwrap().items();
    let lines: Vec<_> = items.iter().map(|item| (item.line, item.column, item.last_line, item.is_inline)).collect();
    assert_eq!(lines, [(3, 4, 8, false), (10, 4, 11, true), (13, 4, 14, false)]);
    let last = node.entry("last").unwrap();
    assert_eq!((last.line, last.value.line, last.value.last_line), (15, 15, 15));
    assert_eq!(last.value.items()[0].line, 3, "the parts of an alias are where they are written");
    assert_eq!(items[0].get("b").unwrap().text(), Some("lit\n# in lit\n"));
}

#[test]
fn values_are_those_of_serde() {
    let text = "{n: null, t: ~, e: , b: [true, False], i: [1, -2, +3, 0x1f, 0o17, 18446744073709551615], f: [1.5, -.5, 1e3], \
                s: [1.2.3, 0xg, 12:30, '1', \"x\\n\", yes, 1_0, e3, +, .]}";
    let of_serde: serde_json::Value = serde_yaml_ng::from_str(text).unwrap();
    assert_eq!(one(text).to_json(), of_serde);
    assert_eq!(one("!!str 7").to_json(), json!("7"));
}

#[test]
fn documents_merge_keys_and_odd_keys_are_read() {
    let documents = load("---\na: 1\n---\n\n---\nb: 2\n").unwrap();
    assert_eq!(
        documents.iter().map(Node::to_json).collect::<Vec<_>>(),
        [json!({"a": 1}), json!(null), json!({"b": 2})]
    );
    let merged = one("base: &b {x: 1, y: 1}\nother: &o {z: 3}\nall: {<<: [*b, *o], y: 2}\none: {<<: *b}\n");
    assert_eq!(merged.get("all").unwrap().to_json(), json!({"x": 1, "y": 2, "z": 3}));
    assert_eq!(merged.get("one").unwrap().to_json(), json!({"x": 1, "y": 1}));
    assert_eq!(one("{1: a, true: b}").to_json(), json!({"1": "a", "true": "b"}));
}

#[test]
fn what_cannot_be_read_is_told_with_its_line() {
    let deep = "[".repeat(200);
    let bomb = (0..30)
        .fold("a0: &a0 [x, x]\n".to_owned(), |text, n| format!("{text}a{}: &a{} [*a{n}, *a{n}]\n", n + 1, n + 1));
    for (text, line, problem) in [
        ("a: 1\nb: [", 2, "is not YAML"),
        ("a: 1\nb: 2\na: 3\n", 3, "has the key \"a\" twice, first on line 1"),
        ("a: 1\nb: *nothing\n", 2, "is not YAML"),
        ("a: &a\n  b: *a\n", 2, "alias"),
        ("[a]: 1\n", 1, "no text"),
        ("a: {<<: 3}\n", 1, "no map"),
        (&deep, 1, "nested too deeply"),
        (&bomb, 18, "without measure"),
    ] {
        let error = load(text).unwrap_err();
        assert!(error.problem.contains(problem), "{text}: {error}");
        assert_eq!(error.line, line, "{text}: {error}");
    }
}

#[test]
fn paths_find_the_line_of_the_deepest_part_that_is_there() {
    let node = one("issuers:\n- a: 1\n  b:\n    c.d: 1\n    c: {d: 2}\n- e\nquotas:\n  group:default/x: [1]\n");
    for (path, line) in [
        ("issuers", 1),
        ("issuers[0]", 2),
        ("issuers[0].b", 3),
        ("issuers[0].b.c.d", 4),
        ("issuers[0].b.c", 5),
        ("issuers[0].missing", 2),
        ("issuers[1]", 6),
        ("issuers[7]", 1),
        ("quotas.group:default/x[0]", 8),
        (".", 1),
        ("nothing", 1),
    ] {
        assert_eq!(line_of(&node, path), line, "{path}");
    }
}

#[test]
fn written_yaml_is_for_reviewers() {
    let value: serde_yaml_ng::Value = serde_yaml_ng::from_str(
        "{services: [{name: a, paths: [/a, '~/x$'], empty: [], none: {}, config: {on: 'yes', n: 1, s: '1', t: 10:30, windows: [600/1m]}}], long: [aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb]}",
    )
    .unwrap();
    let expected = "services:
- name: a
  paths: [/a, \"~/x$\"]
  empty: []
  none: {}
  config:
    \"on\": \"yes\"
    \"n\": 1
    s: \"1\"
    t: \"10:30\"
    windows: [600/1m]
long:
- aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
- bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
";
    assert_eq!(write(&value, 0), expected);
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|b| json!(b)),
        any::<i32>().prop_map(|n| json!(n)),
        "\\PC{0,12}|[ -~\n\t]{0,12}".prop_map(|text| json!(text)),
        // Numbers, times and words of several versions of YAML.
        "[-+]?0?[_0-9xb:.]{0,6}|[YyNn]|[Oo]n|[Oo]ff|YES|no".prop_map(|text| json!(text)),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(|items| json!(items)),
            // A key `<<` is no text to this reader, with quotes or without.
            proptest::collection::btree_map(r"\PC{0,6}".prop_filter("merges", |key| key != "<<"), inner, 0..5)
                .prop_map(|map| json!(map)),
        ]
    })
}

#[test]
fn texts_that_kong_takes_for_something_else_are_written_in_quotes() {
    for text in ["_1", "1_000", "off", "Yes", "12:30", "0123", "1e3", "~", ""] {
        let written = write(&serde_yaml_ng::Value::from(text), 0);
        assert_eq!(written, format!("{text:?}\n"));
    }
}

proptest! {
    #[test]
    fn whatever_is_written_is_read_back_by_both_readers_and_by_kong(json in any_json(), indent in 0usize..4) {
        let text = write(&serde_yaml_ng::to_value(&json).unwrap(), indent);
        prop_assert_eq!(&one(&text).to_json(), &json, "{}", text);
        prop_assert_eq!(&serde_yaml_ng::from_str::<serde_json::Value>(&text).unwrap(), &json, "{}", text);
        prop_assert_eq!(read_otherwise(&text), [], "{}", text);
    }

    #[test]
    fn no_text_makes_it_panic(text in "[-a:&*<#|>{}\\[\\] \n'\"!%]{0,40}") {
        let _ = load(&text);
    }
}
