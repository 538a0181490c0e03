//! How long a key that an operator keeps may be used.

use crate::host::UnixMillis;

/// The dates of a key in the configuration. A key without dates does not age.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Life {
    /// When it should have been replaced: from then on operators are warned.
    pub rotate_by: Option<UnixMillis>,
    /// When it ends: from then on it is not used.
    pub not_after: Option<UnixMillis>,
}

impl Life {
    /// Whether the key may be used.
    pub fn is_on(self, now: UnixMillis) -> bool {
        self.not_after.is_none_or(|end| now < end)
    }

    /// Whether anything happens to the key by itself.
    pub fn has_dates(self) -> bool {
        self.rotate_by.is_some() || self.not_after.is_some()
    }

    /// Whether the key should have been replaced.
    pub fn is_overdue(self, now: UnixMillis) -> bool {
        self.rotate_by.is_some_and(|due| due <= now) || !self.is_on(now)
    }
}
