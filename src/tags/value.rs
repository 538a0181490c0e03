//! What a header says.

use crate::entity::EntityRef;
use std::ops::Deref;

/// What a header says. Most are refs, which are there already and need not be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A ref.
    Entity(EntityRef),
    /// A word of the filter's own.
    Word(&'static str),
    /// Anything else.
    Text(String),
}

impl Deref for Value {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Entity(entity) => entity.as_str(),
            Self::Word(word) => word,
            Self::Text(text) => text,
        }
    }
}

impl From<&EntityRef> for Value {
    fn from(entity: &EntityRef) -> Self {
        Self::Entity(entity.clone())
    }
}

impl From<&'static str> for Value {
    fn from(word: &'static str) -> Self {
        Self::Word(word)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}
