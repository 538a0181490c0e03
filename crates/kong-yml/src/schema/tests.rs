//! What was seen of `lua-resty-ljsonschema` 1.2.0, called as Kong 3.9 calls it (`array_mt = false`, patterns by PCRE).

use super::*;
use serde_json::json;

fn schema(config_schema: Value) -> Result<Schema, SchemaError> {
    Schema::of_metadata(&json!({"config_schema": config_schema, "metrics": {"label_patterns": []}}).to_string())
}

#[test]
fn values_are_judged_as_lua_judges_them() {
    let object = json!({"type": "object", "required": ["a"], "additionalProperties": false, "properties": {"a": {}}});
    let pattern = json!({"pattern": "^[a-z]+$"});
    let cases = [
        // Lua has one empty table: it is an array and an object, and has to be right as both.
        (json!({"type": "array"}), json!({}), true),
        (json!({"type": "array", "minItems": 1}), json!({}), false),
        (json!({"type": "object"}), json!([]), true),
        (json!({"type": "object", "minProperties": 1}), json!([]), false),
        (object.clone(), json!([]), false),
        (json!({"type": "array"}), json!({"a": 1}), false),
        (json!({"type": "object"}), json!([1]), false),
        (json!({"enum": [[]]}), json!({}), true),
        (json!({"uniqueItems": true}), json!([[], {}]), false),
        // Numbers are one type: whole ones are integers, however they are written.
        (json!({"type": "integer"}), json!(60.0), true),
        (json!({"type": "integer"}), json!(1e9), true),
        (json!({"type": "integer"}), json!(1.5), false),
        (json!({"type": "number"}), json!(1), true),
        (json!({"enum": [1]}), json!(1.0), true),
        (json!({"uniqueItems": true}), json!([1, 1.0]), false),
        (json!({"minimum": 1, "maximum": 2}), json!(1), true),
        (json!({"minimum": 1, "maximum": 2}), json!(2.5), false),
        (json!({"minimum": 1, "exclusiveMinimum": true}), json!(1), false),
        (json!({"maximum": 2, "exclusiveMaximum": true}), json!(2), false),
        // What is null is there, and is of its own type.
        (object.clone(), json!({"a": null}), true),
        (json!({"properties": {"a": {"type": "string"}}}), json!({"a": null}), false),
        (json!({"type": ["string", "null"]}), json!(null), true),
        (json!({"enum": ["a", null]}), json!(null), true),
        (json!({"dependencies": {"a": ["b"]}}), json!({"a": null}), false),
        // PCRE's `$` is before a line break that ends the text, too.
        (pattern.clone(), json!("abc\n"), true),
        (pattern.clone(), json!("abc\n\n"), false),
        (pattern.clone(), json!("ab\nc"), false),
        (json!({"pattern": "b"}), json!("abc"), true),
        // `\s` is ASCII's white space.
        (json!({"pattern": r"^[^\s]+$"}), json!("a\u{a0}b"), true),
        (json!({"pattern": r"^[^\s]+$"}), json!("a b"), false),
        // Texts are measured in characters, and nothing else is measured.
        (json!({"maxLength": 3}), json!("äöü"), true),
        (json!({"minLength": 4, "pattern": "x"}), json!(7), true),
        (json!({"minLength": 4}), json!([]), true),
        // The rest is as everywhere.
        (object.clone(), json!({"a": 1, "b": 2}), false),
        (
            json!({"patternProperties": {"^x": {"type": "null"}}, "additionalProperties": false}),
            json!({"xy": null}),
            true,
        ),
        (
            json!({"patternProperties": {"^x": {"type": "null"}}, "additionalProperties": false}),
            json!({"xy": 1}),
            false,
        ),
        (json!({"patternProperties": {"^x": {}}, "additionalProperties": {"type": "null"}}), json!({"y": 1}), false),
        (json!({"maxProperties": 1}), json!({"a": 1, "b": 1}), false),
        (json!({"dependencies": {"a": {"required": ["b"]}}}), json!({"a": 1, "b": 1}), true),
        (json!({"dependencies": {"a": {"required": ["b"]}}}), json!({"a": 1}), false),
        (json!({"items": {"type": "null"}, "maxItems": 2}), json!([null, 1]), false),
        (json!({"items": {"type": "null"}, "maxItems": 2}), json!([null, null, null]), false),
        (json!({"allOf": [{"type": "string"}, {"enum": ["a"]}]}), json!("b"), false),
        (json!({"anyOf": [{"type": "string"}, {"enum": [1]}]}), json!(1), true),
        (json!({"anyOf": [{"type": "string"}, {"enum": [1]}]}), json!(2), false),
        (json!({"oneOf": [{"type": "string"}, {"enum": ["a"]}]}), json!("a"), false),
        (json!({"oneOf": [{"type": "string"}, {"enum": ["a"]}]}), json!("b"), true),
        (json!({"oneOf": [{"type": "string"}, {"enum": ["a"]}]}), json!(1), false),
        (json!({"not": {"type": "string"}}), json!("a"), false),
        (json!({"not": {"type": "string"}}), json!(1), true),
    ];
    for (config_schema, value, expected) in cases {
        let judged = schema(config_schema.clone()).unwrap().check(&value);
        assert_eq!(judged.is_ok(), expected, "{config_schema} {value}: {judged:?}");
    }
}

#[test]
fn without_metadata_a_configuration_is_a_text_or_nothing() {
    for schema in [Schema::without_metadata(), Schema::of_metadata("{}").unwrap()] {
        assert_eq!(schema.check(&json!(null)), Ok(()));
        assert_eq!(schema.check(&json!("text")), Ok(()));
        assert_eq!(schema.check(&json!({})).unwrap_err().to_string(), "is an object; it must be a string or null");
    }
}

#[test]
fn a_violation_says_where_and_never_what_it_found() {
    let rule = json!({"type": "object", "properties": {"allow": {"items": {"enum": ["owner"]}}}});
    let schema = schema(json!({
        "properties": {"rules": {"items": rule}, "secret": {"pattern": "^a+$", "minLength": 4}, "n": {"maximum": 5}},
        "anyOf": [{"required": ["secret"]}, {"properties": {"rules": {"maxItems": 0}}}],
        "additionalProperties": false
    }));
    let schema = schema.unwrap();
    let cases = [
        (json!({"rules": [{"allow": []}, {"allow": ["owner", "x"]}]}), r#"rules[1].allow[1]: is none of "owner""#),
        (json!({"rules": [["hidden"]]}), "rules[0]: is an array; it must be an object"),
        (json!({"secret": "hidden"}), "secret: does not match ^a+$"),
        (json!({"secret": "aaa"}), "secret: has 3 characters; 4 are the least"),
        (json!({"n": 6}), "n: is too high; 5 is the most"),
        (json!({"hidden": 1}), "hidden: is unknown"),
        (json!({"rules": [{}]}), r#"fits in no way: 1) needs "secret"; 2) rules: has 1 items; 0 are the most"#),
    ];
    for (value, expected) in cases {
        assert_eq!(schema.check(&value).unwrap_err().to_string(), expected);
    }
}

#[test]
fn a_schema_with_something_unknown_is_refused_rather_than_half_understood() {
    let cases = [
        json!({"properties": {"a": {"$ref": "#"}}}),
        json!({"additionalProperties": {"anyOf": [{"const": 1}]}}),
        json!({"dependencies": {"a": {"if": {}}}}),
        json!({"format": "date-time"}),
        json!({"items": [{}]}),
        json!({"type": "text"}),
        json!({"pattern": "("}),
        json!({"patternProperties": {"(": {}}}),
        json!({"exclusiveMinimum": 1}),
        json!(true),
    ];
    for config_schema in cases {
        let error = schema(config_schema.clone()).map(drop).unwrap_err().to_string();
        assert!(error.starts_with("no schema that is understood here: "), "{config_schema}: {error}");
    }
    assert!(
        schema(json!({"$schema": "", "title": "", "description": "", "default": 1, "additionalProperties": true}))
            .is_ok()
    );
}
