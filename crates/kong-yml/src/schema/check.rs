//! A value against a schema, in the order in which the Lua library looks.

use super::{Additional, Dependency, Node, Type, Violation};
use serde_json::{Map, Value};

type Judged = Result<(), Violation>;

impl Node {
    pub(super) fn check(&self, value: &Value) -> Judged {
        if let Some(types) = &self.types
            && !types.iter().any(|ty| ty.has(value))
        {
            let allowed: Vec<_> = types.iter().map(|ty| ty.name()).collect();
            return Err(refused(format!("is {}; it must be {}", kind(value), allowed.join(" or "))));
        }
        // An empty table is judged as both.
        if Type::Object.has(value) {
            self.check_members(value)?;
        }
        if Type::Array.has(value) {
            self.check_items(value.as_array().map_or(&[], Vec::as_slice))?;
        }
        match value {
            Value::String(text) => self.check_text(text)?,
            Value::Number(number) => self.check_number(number.as_f64().unwrap_or_default())?,
            _ => {}
        }
        if let Some(values) = &self.values
            && !values.iter().any(|allowed| is_same(allowed, value))
        {
            let allowed: Vec<_> = values.iter().map(Value::to_string).collect();
            return Err(refused(format!("is none of {}", allowed.join(", "))));
        }
        self.check_subschemas(value)
    }

    fn check_members(&self, value: &Value) -> Judged {
        let none = Map::new();
        let members = value.as_object().unwrap_or(&none);
        for (name, node) in &self.properties {
            if let Some(member) = members.get(name) {
                node.check(member).map_err(|violation| violation.within(name))?;
            }
        }
        if let Some(name) = self.required.iter().find(|name| !members.contains_key(*name)) {
            return Err(refused(format!("needs {name:?}")));
        }
        for (name, dependency) in self.dependencies.iter().filter(|(name, _)| members.contains_key(*name)) {
            match dependency {
                Dependency::Members(names) => {
                    if let Some(missing) = names.iter().find(|name| !members.contains_key(*name)) {
                        return Err(refused(format!("needs {missing:?} where {name:?} is")));
                    }
                }
                Dependency::Fitting(node) => node.check(value)?,
            }
        }
        for (name, member) in members {
            let mut is_known = self.properties.contains_key(name);
            for (_, node) in self.pattern_properties.iter().filter(|(pattern, _)| pattern.is_match(name)) {
                node.check(member).map_err(|violation| violation.within(name))?;
                is_known = true;
            }
            match &self.additional_properties {
                Additional::Nothing if !is_known => return Err(refused("is unknown".to_owned()).within(name)),
                Additional::Fitting(node) if !is_known => {
                    node.check(member).map_err(|violation| violation.within(name))?;
                }
                _ => {}
            }
        }
        in_range(members.len(), self.min_properties, self.max_properties, "members")
    }

    fn check_items(&self, items: &[Value]) -> Judged {
        in_range(items.len(), self.min_items, self.max_items, "items")?;
        if let Some(node) = &self.items {
            for (index, item) in items.iter().enumerate() {
                node.check(item).map_err(|violation| violation.within(&format!("[{index}]")))?;
            }
        }
        let is_repeated = |(index, item)| items.iter().take(index).any(|other| is_same(other, item));
        if self.unique_items && items.iter().enumerate().any(is_repeated) {
            return Err(refused("has an item twice".to_owned()));
        }
        Ok(())
    }

    fn check_text(&self, text: &str) -> Judged {
        in_range(text.chars().count(), self.min_length, self.max_length, "characters")?;
        match &self.pattern {
            Some(pattern) if !pattern.is_match(text) => Err(refused(format!("does not match {}", pattern.text))),
            _ => Ok(()),
        }
    }

    fn check_number(&self, number: f64) -> Judged {
        let is_low = |min| if self.exclusive_minimum { number <= min } else { number < min };
        let is_high = |max| if self.exclusive_maximum { number >= max } else { number > max };
        match (self.minimum, self.maximum) {
            (Some(min), _) if is_low(min) => Err(refused(format!("is too low; {min} is the least"))),
            (_, Some(max)) if is_high(max) => Err(refused(format!("is too high; {max} is the most"))),
            _ => Ok(()),
        }
    }

    fn check_subschemas(&self, value: &Value) -> Judged {
        for node in &self.all_of {
            node.check(value)?;
        }
        if let Some(nodes) = &self.any_of {
            let violations: Vec<_> = nodes.iter().map_while(|node| node.check(value).err()).collect();
            if violations.len() == nodes.len() {
                let listed = violations.iter().enumerate().map(|(index, one)| format!("{}) {one}", index + 1));
                return Err(refused(format!("fits in no way: {}", listed.collect::<Vec<_>>().join("; "))));
            }
        }
        if let Some(nodes) = &self.one_of {
            match nodes.iter().filter(|node| node.check(value).is_ok()).count() {
                0 => return Err(refused("fits none of the ways that exclude each other".to_owned())),
                1 => {}
                _ => return Err(refused("fits more than one of the ways that exclude each other".to_owned())),
            }
        }
        match &self.not {
            Some(node) if node.check(value).is_ok() => Err(refused("is what is ruled out here".to_owned())),
            _ => Ok(()),
        }
    }
}

impl Violation {
    /// The same, of something that stands in a member or an item.
    pub(crate) fn within(self, outer: &str) -> Self {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        Self { path: format!("{outer}{dot}{}", self.path), ..self }
    }
}

fn refused(problem: String) -> Violation {
    Violation { path: String::new(), problem }
}

fn in_range(found: usize, min: Option<usize>, max: Option<usize>, of: &str) -> Judged {
    match (min, max) {
        (Some(min), _) if found < min => Err(refused(format!("has {found} {of}; {min} are the least"))),
        (_, Some(max)) if found > max => Err(refused(format!("has {found} {of}; {max} are the most"))),
        _ => Ok(()),
    }
}

impl Type {
    fn has(self, value: &Value) -> bool {
        match self {
            // Lua has one empty table for both.
            Self::Array => is_empty(value) || value.is_array(),
            Self::Object => is_empty(value) || value.is_object(),
            Self::Boolean => value.is_boolean(),
            Self::Null => value.is_null(),
            Self::Number => value.is_number(),
            Self::Integer => value.as_f64().is_some_and(|number| number.fract() == 0.0),
            Self::String => value.is_string(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Array => "an array",
            Self::Boolean => "a boolean",
            Self::Integer => "an integer",
            Self::Null => "null",
            Self::Number => "a number",
            Self::Object => "an object",
            Self::String => "a string",
        }
    }
}

fn kind(value: &Value) -> &'static str {
    let kinds = [Type::Null, Type::Boolean, Type::Integer, Type::Number, Type::String, Type::Object];
    kinds.into_iter().find(|kind| kind.has(value)).unwrap_or(Type::Array).name()
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

/// Whether two values are one to Lua.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(ones), Value::Array(others)) => {
            ones.len() == others.len() && ones.iter().zip(others).all(|(one, other)| is_same(one, other))
        }
        (Value::Object(ones), Value::Object(others)) => {
            ones.len() == others.len()
                && ones.iter().all(|(name, one)| others.get(name).is_some_and(|other| is_same(one, other)))
        }
        _ => one == other || is_empty(one) && is_empty(other),
    }
}
