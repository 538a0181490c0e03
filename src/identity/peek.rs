//! What of a payload is read before its signature is verified.
//!
//! Anybody can send a payload of 16 KB, and to build all of its claims costs as much as a signature. So before the signature only those
//! claims are built that the cheap checks read: `iss`, the dates and the audience. serde reads the payload once, as a stream, and skips
//! all other values ([`IgnoredAny`], which is a loop and not a recursion, so that nesting takes no stack). This only ever refuses
//! tokens: once the signature is verified, all claims are built and checked.
//!
//! Of what is built nothing grows with the payload: of an array, only audiences are kept that an issuer of the route wants, each once,
//! and an object is left empty. serde's derived structs would not do, for the audience's claim has the name that the configuration gives
//! it.

use super::TokenError;
use super::claims::Claims;
use crate::config::{Audiences, Issuer};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;
use std::rc::Rc;

/// Most members that a payload may have.
const MAX_MEMBERS: usize = 256;

impl Claims {
    /// The claims that the cheap checks read, as far as they read them.
    ///
    /// # Errors
    /// [`TokenError::Malformed`] for what is no JSON object, has one of these claims twice, or has too many members.
    pub(super) fn peek(payload: &[u8], issuers: &[Rc<Issuer>]) -> Result<Self, TokenError> {
        let mut json = serde_json::Deserializer::from_slice(payload);
        let members = Peek(issuers).deserialize(&mut json).and_then(|members| json.end().map(|()| members));
        members.map(Self::from).map_err(|_| Self::MALFORMED)
    }
}

#[derive(Clone, Copy)]
struct Peek<'a>(&'a [Rc<Issuer>]);

impl Peek<'_> {
    fn reads(self, name: &str) -> bool {
        matches!(name, "iss" | "exp" | "nbf" | "iat") || self.0.iter().any(|issuer| issuer.claims.audience.0 == name)
    }

    fn is_audience(self, item: &str) -> bool {
        self.0.iter().any(|issuer| match &issuer.audiences {
            Audiences::AnyOf(wanted) | Audiences::AllOf(wanted) => wanted.iter().any(|wanted| wanted == item),
            Audiences::Unchecked => false,
        })
    }
}

impl<'de> DeserializeSeed<'de> for Peek<'_> {
    type Value = Map<String, Value>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Peek<'_> {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut members = Map::new();
        let mut count = 0;
        while let Some(name) = entries.next_key_seed(Name(self))? {
            count += 1;
            if count > MAX_MEMBERS {
                return Err(A::Error::custom("too many members"));
            }
            let Some(name) = name else {
                entries.next_value::<IgnoredAny>()?;
                continue;
            };
            if members.insert(name, entries.next_value_seed(Member(self))?).is_some() {
                return Err(A::Error::custom("a member is there twice"));
            }
        }
        Ok(members)
    }
}

/// The name of a claim that is read; `None` for others.
struct Name<'a>(Peek<'a>);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.reads(name).then(|| name.to_owned()))
    }
}

/// The value of a claim that is read.
struct Member<'a>(Peek<'a>);

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a claim")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut kept = Vec::new();
        while let Some(item) = items.next_element_seed(Item(self.0))? {
            let Some(item) = item else { continue };
            if !kept.contains(&item) {
                kept.push(item);
            }
        }
        Ok(Value::Array(kept))
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Value, A::Error> {
        IgnoredAny.visit_map(entries)?;
        Ok(Value::Object(Map::new()))
    }
}

/// An item of an array: an audience that an issuer wants, `null` for what is no string, `None` for other strings.
struct Item<'a>(Peek<'a>);

impl<'de> DeserializeSeed<'de> for Item<'_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_any(self)
    }
}

/// Whatever is no string is kept as `null`, by which the array is no list of names.
macro_rules! no_string {
    ($($visit:ident: $type:ty),*) => {
        $(fn $visit<E>(self, _: $type) -> Result<Self::Value, E> {
            Ok(Some(Value::Null))
        })*
    };
}

impl<'de> Visitor<'de> for Item<'_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an item")
    }

    no_string!(visit_bool: bool, visit_u64: u64, visit_i64: i64, visit_f64: f64);

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Some(Value::Null))
    }

    fn visit_str<E>(self, item: &str) -> Result<Self::Value, E> {
        Ok(self.0.is_audience(item).then(|| item.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Self::Value, A::Error> {
        IgnoredAny.visit_seq(items)?;
        Ok(Some(Value::Null))
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Self::Value, A::Error> {
        IgnoredAny.visit_map(entries)?;
        Ok(Some(Value::Null))
    }
}

#[cfg(test)]
mod tests;
