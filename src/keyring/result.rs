//! What fetching a key set came to.

use std::fmt;

/// What fetching came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FetchResult {
    /// A set with keys.
    Fetched,
    /// No answer, or one that is not 200.
    Failed,
    /// An answer that is no key set, or no metadata, or is too large.
    Unusable,
    /// A set without a usable key; the last good one stays.
    Empty,
    /// Metadata of another issuer.
    WrongIssuer,
    /// Metadata whose `jwks_uri` is not followed.
    KeysElsewhere,
}

impl FetchResult {
    /// The word for it in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fetched => "fetched",
            Self::Failed => "failed",
            Self::Unusable => "unusable",
            Self::Empty => "empty",
            Self::WrongIssuer => "wrong_issuer",
            Self::KeysElsewhere => "keys_elsewhere",
        }
    }
}

impl fmt::Display for FetchResult {
    /// What an operator should know of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fetched => "fetched",
            Self::Failed => "no answer, or one that is not 200",
            Self::Unusable => "the answer is no key set (or no metadata), or is too large",
            Self::Empty => "the key set has no usable key",
            Self::WrongIssuer => "the metadata is another issuer's: its `issuer` is not exactly the configured one",
            Self::KeysElsewhere => {
                "the metadata's `jwks_uri` is on another host (set `jwks_upstream`) or leaves https, and is not followed"
            }
        })
    }
}
