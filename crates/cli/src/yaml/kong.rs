//! Texts without quotes that are something else to Kong, whose reader (`lyaml` 6.2.8) goes by YAML 1.1.

use super::Value;
use super::scalar::plain;
use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::Number;

/// A text that Kong reads otherwise than this command, or a key that is no text to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Otherwise {
    /// Where.
    pub line: usize,
    /// The text, and what it is to Kong.
    pub problem: String,
}

/// What is open around a node.
enum Open {
    List,
    /// A map, and whether a key comes next.
    Map(bool),
}

/// Finds them in a text that [`load`](super::load()) has read.
pub fn read_otherwise(text: &str) -> Vec<Otherwise> {
    let (mut found, mut open) = (Vec::new(), Vec::new());
    let mut parser = Parser::new_from_str(text);
    while let Some(Ok((event, span))) = parser.next_event() {
        match event {
            Event::Scalar(text, ScalarStyle::Plain, _, None) => {
                let is_key = matches!(open.last(), Some(Open::Map(true)));
                let to_kong = of_kong(&text);
                // A key that is no text makes an array of a map in Lua.
                if if is_key { !matches!(to_kong, Value::Text(_)) } else { to_kong != ours(&text) } {
                    let problem = format!("{text:?} without quotes is {} to Kong", described(&to_kong));
                    found.push(Otherwise { line: span.start.line(), problem });
                }
            }
            Event::SequenceStart(..) => {
                open.push(Open::List);
                continue;
            }
            Event::MappingStart(..) => {
                open.push(Open::Map(true));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => drop(open.pop()),
            Event::Scalar(..) | Event::Alias(_) => {}
            _ => continue,
        }
        // A node has ended.
        if let Some(Open::Map(is_key)) = open.last_mut() {
            *is_key = !*is_key;
        }
    }
    found
}

fn described(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => format!("the number {}", number.as_f64().unwrap_or_default()),
        _ => "a text".to_owned(),
    }
}

/// What this command makes of it. Lua has one type for numbers.
fn ours(text: &str) -> Value {
    match plain(text) {
        Value::Number(number) => number.as_f64().map_or(Value::Null, float),
        other => other,
    }
}

/// What `lyaml.implicit` makes of it, in its order.
fn of_kong(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => return Value::Bool(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => return Value::Bool(false),
        _ => {}
    }
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(unsigned) => (-1.0, unsigned),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let bare = |text: &str| text.chars().filter(|c| *c != '_').collect::<String>();
    let whole = |digits: &str, radix: u32| u64::from_str_radix(&bare(digits), radix).ok().map(|whole| whole as f64);
    let digits = bare(unsigned);
    let is_decimal = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let number = if let Some(octal) = unsigned.strip_prefix('0').and_then(|digits| whole(digits, 8)) {
        Some(octal)
    } else if is_decimal {
        digits.parse().ok()
    } else if let Some(hexadecimal) = unsigned.strip_prefix("0x") {
        whole(hexadecimal, 16)
    } else if let Some(binary) = unsigned.strip_prefix("0b") {
        whole(binary, 2)
    } else if digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') && digits.contains(['.', 'e', 'E']) {
        digits.parse().ok().or_else(|| sexagesimal(unsigned))
    } else {
        sexagesimal(unsigned)
    };
    number.map_or_else(|| Value::Text(text.to_owned()), |number| float(sign * number))
}

/// `1:30` is ninety.
fn sexagesimal(text: &str) -> Option<f64> {
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(whole, fraction)| (whole, Some(fraction)));
    let (_, after) = whole.split_once(':').filter(|(before, _)| !before.is_empty())?;
    let is_time =
        after.starts_with(|c: char| c.is_ascii_digit()) && whole.chars().all(|c| c.is_ascii_digit() || c == ':');
    let parts = whole.split(':').filter(|part| !part.is_empty()).map(|part| part.parse::<f64>().ok());
    let sum = is_time.then(|| parts.flatten().fold(0.0, |sum, part| sum * 60.0 + part))?;
    match fraction {
        Some(fraction) => Some(sum + format!("0.{fraction}").parse::<f64>().ok()?),
        None => Some(sum),
    }
}

fn float(number: f64) -> Value {
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `lyaml` 6.2.8 was seen to make of them.
    #[test]
    fn texts_are_to_kong_what_lyaml_makes_of_them() {
        let text = |text: &str| Value::Text(text.to_owned());
        let cases = [
            ("off", Value::Bool(false)),
            ("Yes", Value::Bool(true)),
            ("y", text("y")),
            ("~", Value::Null),
            ("0", float(0.0)),
            ("0123", float(83.0)),
            ("_0123", float(123.0)),
            ("_1", float(1.0)),
            ("089", float(89.0)),
            ("1_000", float(1000.0)),
            ("-7", float(-7.0)),
            ("1.5", float(1.5)),
            ("1e3", float(1000.0)),
            ("1.2.3", text("1.2.3")),
            ("0x1F", float(31.0)),
            ("0b101", float(5.0)),
            ("0o17", text("0o17")),
            ("1:30", float(90.0)),
            ("1:30.5", float(90.5)),
            ("8000:8000", float(488_000.0)),
            ("10.0.0.1:80", text("10.0.0.1:80")),
            ("peers:9081", text("peers:9081")),
            ("600/1m", text("600/1m")),
            ("2026-12-01", text("2026-12-01")),
            ("_", text("_")),
            ("+", text("+")),
        ];
        for (plain, expected) in cases {
            assert_eq!(of_kong(plain), expected, "{plain}");
        }
    }

    #[test]
    fn only_what_is_read_otherwise_is_found() {
        let fine = "a: [1, 1.5, true, null, text, 'off', \"0123\", !!str yes]\nb: {c: {'42': x}, d: e}\nf: &g [h]\ni: *g\nj: |\n  no\n";
        assert_eq!(read_otherwise(fine), []);
        let found = read_otherwise("a: off\nb:\n- {c: 1_000, 42: x}\n- [[0123]]\nd: {e: {f: no}, yes: h}\n1:30: x\n");
        let found: Vec<_> = found.iter().map(|one| format!("{} {}", one.line, one.problem)).collect();
        assert_eq!(
            found,
            [
                "1 \"off\" without quotes is false to Kong",
                "3 \"1_000\" without quotes is the number 1000 to Kong",
                "3 \"42\" without quotes is the number 42 to Kong",
                "4 \"0123\" without quotes is the number 83 to Kong",
                "5 \"no\" without quotes is false to Kong",
                "5 \"yes\" without quotes is true to Kong",
                "6 \"1:30\" without quotes is the number 90 to Kong",
            ]
        );
    }
}
