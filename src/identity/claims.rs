//! A token's claims.

use super::TokenError;
use crate::config::ClaimName;
use crate::host::UnixMillis;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;
use std::rc::Rc;

/// The end of the year 9999: what lies beyond is no date.
const LAST_SECOND: f64 = 253_402_300_799.0;

/// The claims that hold a token's scopes.
const SCOPES: [&str; 2] = ["scope", "scp"];

/// All claims of a token. Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub struct Claims(Rc<Map<String, Value>>);

/// What a claim that should hold names holds.
#[derive(Debug, PartialEq, Eq)]
pub enum Names<'a> {
    /// It is not there, or `null`.
    Absent,
    /// It is neither a string nor an array of strings.
    Malformed,
    /// These: the items of an array, or a string, or the words of one.
    List(Vec<&'a str>),
}

impl From<Map<String, Value>> for Claims {
    fn from(members: Map<String, Value>) -> Self {
        Self(Rc::new(members))
    }
}

impl Claims {
    /// Why a payload is refused that cannot be read in one way only.
    pub(super) const MALFORMED: TokenError =
        TokenError::Malformed("the payload is not a JSON object, has a member twice, or has too many");

    /// Parses a payload.
    ///
    /// # Errors
    /// [`TokenError::Malformed`] for what is not a JSON object, has a member twice at any level, or is nested too deep.
    pub fn parse(payload: &[u8]) -> Result<Self, TokenError> {
        match serde_json::from_slice::<Strict>(payload) {
            Ok(Strict(Value::Object(members))) => Ok(members.into()),
            _ => Err(Self::MALFORMED),
        }
    }

    /// A claim by its exact key or, when there is none and the name starts with `/`, by JSON Pointer.
    pub fn get(&self, name: &ClaimName) -> Option<&Value> {
        self.0.get(&name.0).or_else(|| pointer(&self.0, &name.0))
    }

    /// All of them.
    pub fn members(&self) -> &Map<String, Value> {
        &self.0
    }

    /// A claim by its exact key.
    pub fn member(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// A string claim that is not empty.
    pub fn text(&self, name: &ClaimName) -> Option<&str> {
        self.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// A claim that holds names: an array of strings, or one string. That is one name, whatever spaces it has, for `not payments` is
    /// not `payments`; only the scopes of a token are words by definition (`scope`, RFC 8693 §4.2, and `scp`).
    pub fn names(&self, name: &ClaimName) -> Names<'_> {
        self.names_or_words(name, SCOPES.contains(&name.0.as_str()))
    }

    /// The same where somebody knows of the claim that a string of it is words with spaces between them.
    pub fn words(&self, name: &ClaimName) -> Names<'_> {
        self.names_or_words(name, true)
    }

    fn names_or_words(&self, name: &ClaimName, are_words: bool) -> Names<'_> {
        match self.get(name) {
            None | Some(Value::Null) => Names::Absent,
            Some(Value::String(words)) if are_words => {
                Names::List(words.split(' ').filter(|word| !word.is_empty()).collect())
            }
            Some(Value::String(name)) => {
                Names::List(Some(name.as_str()).filter(|name| !name.is_empty()).into_iter().collect())
            }
            Some(Value::Array(items)) => {
                items.iter().map(Value::as_str).collect::<Option<Vec<_>>>().map_or(Names::Malformed, Names::List)
            }
            Some(_) => Names::Malformed,
        }
    }

    /// Whether a claim equals the value, or is an array that holds it.
    pub fn holds(&self, name: &ClaimName, value: &Value) -> bool {
        self.get(name)
            .is_some_and(|found| found == value || found.as_array().is_some_and(|items| items.contains(value)))
    }

    /// The scopes: `scope` (RFC 8693 §4.2), or `scp` as some providers name it.
    pub fn has_scope(&self, scope: &str) -> bool {
        SCOPES.into_iter().any(|name| match self.names(&ClaimName(name.to_owned())) {
            Names::List(scopes) => scopes.contains(&scope),
            Names::Absent | Names::Malformed => false,
        })
    }

    /// A NumericDate (RFC 7519 §2).
    ///
    /// # Errors
    /// [`TokenError::MalformedClaim`] for whatever is there but is no number from 0 to the end of the year 9999. A claim
    /// that is malformed is never taken for absent.
    pub fn date(&self, name: &'static str) -> Result<Option<UnixMillis>, TokenError> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        let seconds = value.as_f64().filter(|seconds| (0.0..=LAST_SECOND).contains(seconds));
        // In range, so that the conversion neither wraps nor loses more than the fraction of a millisecond.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        seconds
            .map(|seconds| Some(UnixMillis((seconds * 1000.0) as u64)))
            .ok_or(TokenError::MalformedClaim(name.into()))
    }
}

/// RFC 6901, over a map that is not a `Value`.
fn pointer<'a>(members: &'a Map<String, Value>, pointer: &str) -> Option<&'a Value> {
    let path = pointer.strip_prefix('/')?;
    let (first, rest) = path.find('/').map_or((path, ""), |at| path.split_at(at));
    members.get(&first.replace("~1", "/").replace("~0", "~"))?.pointer(rest)
}

/// JSON in which no object has a member twice.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct StrictVisitor;

        impl<'de> Visitor<'de> for StrictVisitor {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON without repeated members")
            }

            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
                Ok(Value::Bool(value))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
                Ok(Value::Number(value.into()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
                Ok(Value::Number(value.into()))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
                Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
            }

            fn visit_str<E>(self, value: &str) -> Result<Value, E> {
                Ok(Value::String(value.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
                let mut list = Vec::new();
                while let Some(Strict(item)) = items.next_element()? {
                    list.push(item);
                }
                Ok(Value::Array(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
                let mut members = Map::new();
                while let Some((name, Strict(value))) = entries.next_entry::<String, Strict>()? {
                    if members.insert(name, value).is_some() {
                        return Err(A::Error::custom("a member stands twice"));
                    }
                }
                Ok(Value::Object(members))
            }
        }

        from.deserialize_any(StrictVisitor).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn claims(value: &Value) -> Claims {
        Claims::parse(value.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn an_exact_key_goes_before_a_pointer() {
        let claims = claims(&json!({"/a/b": 1, "a": {"b": 2, "c/d": [3]}, "https://acme.example/groups": 4}));
        let get = |name: &str| claims.get(&ClaimName(name.into())).cloned();
        assert_eq!(get("/a/b"), Some(json!(1)));
        assert_eq!(get("/a/c~1d/0"), Some(json!(3)));
        assert_eq!(get("https://acme.example/groups"), Some(json!(4)));
        assert_eq!(get("/a/x"), None);
        assert_eq!(get("a.b"), None);
    }

    #[test]
    fn repeated_members_deep_nesting_and_what_is_no_object_are_refused() {
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(200), "]".repeat(200));
        for payload in [
            "",
            "[]",
            "1",
            "\"x\"",
            "{\"a\":1,\"a\":2}",
            "{\"x\":{\"a\":1,\"a\":2}}",
            "{\"x\":[{\"a\":1,\"a\":1}]}",
            "{} {}",
            &deep,
        ] {
            assert!(Claims::parse(payload.as_bytes()).is_err(), "{payload}");
        }
        assert!(Claims::parse(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn dates_are_numbers_or_refused() {
        let cases = [
            (json!(1), Some(1_000)),
            (json!(1.5), Some(1_500)),
            (json!(0), Some(0)),
            (json!(253_402_300_799_u64), Some(253_402_300_799_000)),
            (json!("1"), None),
            (json!(-1), None),
            (json!(-0.1), None),
            (json!(1e300), None),
            (json!(253_402_300_800_u64), None),
            (json!(u64::MAX), None),
            (json!(null), None),
            (json!([1]), None),
        ];
        for (value, millis) in cases {
            let date = claims(&json!({"exp": value})).date("exp");
            assert_eq!(date.ok().flatten().map(|at| at.0), millis, "{value}");
        }
        assert_eq!(claims(&json!({})).date("exp"), Ok(None));
    }

    #[test]
    fn scopes_are_words_or_items() {
        for scopes in [json!({"scope": "read write"}), json!({"scp": ["read", "write"]}), json!({"scp": "write"})] {
            assert!(claims(&scopes).has_scope("write") && !claims(&scopes).has_scope("rite"));
        }
    }
}
