//! Backstage entity references.
//!
//! A reference is written `[kind:][namespace/]name`, compared without regard to case, and canonical in lower case:
//! `Group:Default/Payments` and `group:default/payments` are one entity. The rules for each part are Backstage's
//! (`@backstage/catalog-model`, `CommonValidatorFunctions` and `KubernetesValidatorFunctions`).

use std::fmt;
use std::sync::Arc;

/// The namespace that Backstage assumes where none is written.
pub const DEFAULT_NAMESPACE: &str = "default";

/// Longest kind, namespace or name, in bytes.
pub const MAX_PART: usize = 63;

/// A full, canonical (lower-case) entity reference: `kind:namespace/name`.
///
/// Cheap to clone; compares and hashes as its text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityRef {
    text: Arc<str>,
    kind_len: u8,
    namespace_len: u8,
}

/// Why a text is not an entity reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntityRefError {
    /// No kind is written and the place where the reference stands implies none.
    #[error("has no kind; write it as kind:namespace/name")]
    NoKind,
    /// The kind is not letters and digits that start with a letter, at most 63.
    #[error("has an invalid kind; a kind is a letter followed by letters and digits, at most 63")]
    Kind,
    /// The namespace is not a DNS label.
    #[error("has an invalid namespace; a namespace is a DNS label: a-z, 0-9 and inner hyphens, at most 63")]
    Namespace,
    /// The name is empty, too long, or has characters other than letters, digits and inner `-`, `_`, `.`.
    #[error("has an invalid name; a name is letters, digits and inner '-', '_' or '.', at most 63")]
    Name,
}

impl EntityRef {
    /// Parses `[kind:][namespace/]name`; `kind` and `namespace` stand in where the text has none.
    ///
    /// # Errors
    /// The part that breaks Backstage's rules.
    pub fn parse(text: &str, kind: Option<&str>, namespace: &str) -> Result<Self, EntityRefError> {
        let (kind, rest) = match text.split_once(':') {
            Some((kind, rest)) => (kind, rest),
            None => (kind.ok_or(EntityRefError::NoKind)?, text),
        };
        let (namespace, name) = rest.split_once('/').unwrap_or((namespace, rest));
        Self::new(kind, namespace, name)
    }

    /// Parses a reference that must be written in full, `kind:namespace/name`; only the case is free.
    ///
    /// # Errors
    /// The part that is missing or breaks Backstage's rules.
    pub fn parse_full(text: &str) -> Result<Self, EntityRefError> {
        let (kind, rest) = text.split_once(':').ok_or(EntityRefError::NoKind)?;
        let (namespace, name) = rest.split_once('/').ok_or(EntityRefError::Namespace)?;
        Self::new(kind, namespace, name)
    }

    /// Builds a reference from its parts.
    ///
    /// # Errors
    /// The part that breaks Backstage's rules.
    pub fn new(kind: &str, namespace: &str, name: &str) -> Result<Self, EntityRefError> {
        let kind_len = checked_len(kind, is_kind).ok_or(EntityRefError::Kind)?;
        let namespace_len = checked_len(namespace, is_namespace).ok_or(EntityRefError::Namespace)?;
        checked_len(name, is_name).ok_or(EntityRefError::Name)?;
        let mut text = String::with_capacity(kind.len() + namespace.len() + name.len() + 2);
        text.push_str(kind);
        text.push(':');
        text.push_str(namespace);
        text.push('/');
        text.push_str(name);
        text.make_ascii_lowercase();
        Ok(Self { text: text.into(), kind_len, namespace_len })
    }

    /// The canonical text, `kind:namespace/name` in lower case.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The kind, such as `group`.
    pub fn kind(&self) -> &str {
        self.text.get(..usize::from(self.kind_len)).unwrap_or_default()
    }

    /// The namespace, such as `default`.
    pub fn namespace(&self) -> &str {
        let start = usize::from(self.kind_len) + 1;
        self.text.get(start..start + usize::from(self.namespace_len)).unwrap_or_default()
    }

    /// The name, such as `payments`.
    pub fn name(&self) -> &str {
        let start = usize::from(self.kind_len) + usize::from(self.namespace_len) + 2;
        self.text.get(start..).unwrap_or_default()
    }
}

impl fmt::Display for EntityRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for EntityRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn checked_len(part: &str, valid: fn(&[u8]) -> bool) -> Option<u8> {
    (part.len() <= MAX_PART && valid(part.as_bytes())).then(|| u8::try_from(part.len()).ok()).flatten()
}

fn is_kind(part: &[u8]) -> bool {
    part.first().is_some_and(u8::is_ascii_alphabetic) && part.iter().all(u8::is_ascii_alphanumeric)
}

fn is_namespace(part: &[u8]) -> bool {
    has_alphanumeric_ends(part) && part.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
}

fn is_name(part: &[u8]) -> bool {
    has_alphanumeric_ends(part) && part.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn has_alphanumeric_ends(part: &[u8]) -> bool {
    part.first().is_some_and(u8::is_ascii_alphanumeric) && part.last().is_some_and(u8::is_ascii_alphanumeric)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn canonical_form_is_lower_case_and_complete() {
        let cases = [
            ("Group:Default/Payments", "group:default/payments"),
            ("payments", "group:default/payments"),
            ("finance/payments", "group:finance/payments"),
            ("user:ada", "user:default/ada"),
            ("API:default/My_Api.v2-x", "api:default/my_api.v2-x"),
        ];
        for (written, canonical) in cases {
            let entity = EntityRef::parse(written, Some("group"), DEFAULT_NAMESPACE).unwrap();
            assert_eq!(entity.as_str(), canonical);
            assert_eq!(format!("{}:{}/{}", entity.kind(), entity.namespace(), entity.name()), canonical);
        }
    }

    #[test]
    fn texts_that_break_the_rules_are_refused_with_the_part_at_fault() {
        let long = "a".repeat(64);
        let cases = [
            ("payments", EntityRefError::NoKind),
            ("1group:default/x", EntityRefError::Kind),
            ("gr-oup:default/x", EntityRefError::Kind),
            ("group:-default/x", EntityRefError::Namespace),
            ("group:de_fault/x", EntityRefError::Namespace),
            ("group:/x", EntityRefError::Namespace),
            ("group:default/", EntityRefError::Name),
            ("group:default/.x", EntityRefError::Name),
            ("group:default/a b", EntityRefError::Name),
            ("group:default/a/b", EntityRefError::Name),
            ("group:default/a\r\nb", EntityRefError::Name),
            ("group:default/ü", EntityRefError::Name),
            (&format!("group:default/{long}"), EntityRefError::Name),
            ("", EntityRefError::NoKind),
        ];
        for (text, error) in cases {
            assert_eq!(EntityRef::parse(text, None, DEFAULT_NAMESPACE), Err(error), "{text}");
        }
    }

    #[test]
    fn a_full_reference_needs_all_three_parts() {
        assert!(EntityRef::parse_full("group:default/x").is_ok());
        assert_eq!(EntityRef::parse_full("group:x"), Err(EntityRefError::Namespace));
        assert_eq!(EntityRef::parse_full("default/x"), Err(EntityRefError::NoKind));
    }

    proptest! {
        #[test]
        fn whatever_parses_is_stable_under_parsing_its_canonical_text(text in "\\PC{0,80}") {
            if let Ok(entity) = EntityRef::parse(&text, Some("group"), DEFAULT_NAMESPACE) {
                prop_assert_eq!(EntityRef::parse_full(entity.as_str()), Ok(entity.clone()));
                prop_assert!(entity.as_str().bytes().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase()));
            }
        }
    }
}
