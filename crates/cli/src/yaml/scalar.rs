//! What a text without quotes stands for, by the core schema of YAML 1.2.

use super::Value;
use serde_json::Number;

/// The value of a plain scalar.
pub(super) fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => number(text).map_or_else(|| Value::Text(text.to_owned()), Value::Number),
    }
}

fn number(text: &str) -> Option<Number> {
    if let Some(hexadecimal) = text.strip_prefix("0x") {
        return digits(hexadecimal).then(|| u64::from_str_radix(hexadecimal, 16).ok())?.map(Number::from);
    }
    if let Some(octal) = text.strip_prefix("0o") {
        return digits(octal).then(|| u64::from_str_radix(octal, 8).ok())?.map(Number::from);
    }
    let unsigned = text.trim_start_matches(['+', '-']);
    let is_number = text.len() - unsigned.len() <= 1
        && unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.contains(|c: char| c.is_ascii_digit())
        && unsigned.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b));
    if !is_number {
        return None;
    }
    let signed = text.strip_prefix('+').unwrap_or(text);
    let whole = || signed.parse::<u64>().map(Number::from).or_else(|_| signed.parse::<i64>().map(Number::from)).ok();
    whole().or_else(|| Number::from_f64(signed.parse().ok()?))
}

fn digits(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_hexdigit())
}
