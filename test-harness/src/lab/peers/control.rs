//! How tests make the identity provider misbehave.

use serde::{Deserialize, Serialize};

/// The body of `POST /control`.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Control {
    /// Makes new keys; tokens are signed with them from now on.
    pub rotate: bool,
    /// Goes on publishing the keys of before the rotation.
    pub keep_old: bool,
    /// What `/jwks.json` answers from now on.
    pub key_set: Option<KeySetBehaviour>,
}

/// What `/jwks.json` answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeySetBehaviour {
    /// The key set.
    Ok,
    /// A key set without keys.
    Empty,
    /// 500.
    Fail,
    /// HTML with status 200.
    Garbage,
    /// Nothing, for an hour.
    Hang,
}
