//! What of a payload is read before its signature is verified.
//!
//! Anybody can send a payload of 16 KB, and to build all of its claims costs as much as a signature. So before the signature only the claims are
//! built that the cheap checks ask for (`iss`, the dates and the audience), each bounded, and the rest is skipped. A
//! glance only ever refuses: once the signature holds, everything is parsed and checked again as a whole.

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
    /// The claims that say whether it is worth verifying the signature. Of the items of an array those are left out that are
    /// no audience of any of these issuers, and an object is left empty.
    ///
    /// # Errors
    /// [`TokenError::Malformed`] for what is no JSON object, has one of these claims twice, or has too many members.
    pub(super) fn glance(payload: &[u8], issuers: &[Rc<Issuer>]) -> Result<Self, TokenError> {
        let mut json = serde_json::Deserializer::from_slice(payload);
        let members = Glance(issuers).deserialize(&mut json).and_then(|members| json.end().map(|()| members));
        members
            .map(Self::from)
            .map_err(|_| TokenError::Malformed("the payload is not a JSON object, or has a member twice"))
    }
}

#[derive(Clone, Copy)]
struct Glance<'a>(&'a [Rc<Issuer>]);

impl Glance<'_> {
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

impl<'de> DeserializeSeed<'de> for Glance<'_> {
    type Value = Map<String, Value>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Glance<'_> {
    type Value = Map<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut members = Map::new();
        for _ in 0..MAX_MEMBERS {
            match entries.next_key_seed(Name(self))? {
                None => return Ok(members),
                Some(None) => drop(entries.next_value::<IgnoredAny>()?),
                Some(Some(name)) => {
                    if members.insert(name, entries.next_value_seed(Member(self))?).is_some() {
                        return Err(A::Error::custom("a member stands twice"));
                    }
                }
            }
        }
        match entries.next_key::<IgnoredAny>()? {
            None => Ok(members),
            Some(_) => Err(A::Error::custom("too many members")),
        }
    }
}

/// The name of a claim, where it is read.
struct Name<'a>(Glance<'a>);

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
struct Member<'a>(Glance<'a>);

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
            // Each audience is kept once, so that no list is longer than the configuration's.
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

/// An item of an array: an audience that somebody wants, `null` for what is no string, and nothing for other strings.
struct Item<'a>(Glance<'a>);

impl<'de> DeserializeSeed<'de> for Item<'_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_any(self)
    }
}

/// Whatever is no string makes the array no list of names.
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
