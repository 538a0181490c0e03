//! Quotas: how much a group, user, client or entity may use in a window.

use super::{Engine, Mode};
use crate::entity::EntityRef;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// All quotas of a route; a request is charged to all of them or to none.
#[derive(Debug)]
pub struct Quotas {
    /// Whether an exhausted quota denies.
    pub mode: Mode,
    /// What happens when shared data fails.
    pub on_store_error: OnStoreError,
    /// Where the nodes of a cluster count together; without it each node counts for itself.
    pub engine: Option<Rc<Engine>>,
    /// Whether answers carry `X-RateLimit-*` besides the IETF fields.
    pub x_ratelimit_headers: bool,
    /// The policies.
    pub policies: Vec<QuotaPolicy>,
}

/// What happens when the store of counts fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnStoreError {
    /// The request is refused with 503.
    Deny,
    /// The request passes uncharged.
    Allow,
}

/// Whose use a policy counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Per {
    /// The group whose ownership granted access; where none did, the caller itself.
    Group,
    /// The user, or the service.
    User,
    /// The OAuth client.
    Client,
    /// All callers of the entity together.
    Entity,
}

impl Per {
    /// The word for it in configuration and keys.
    pub fn name(self) -> &'static str {
        match self {
            Self::Group => "group",
            Self::User => "user",
            Self::Client => "client",
            Self::Entity => "entity",
        }
    }
}

/// One quota policy.
#[derive(Debug)]
pub struct QuotaPolicy {
    /// Its name in `RateLimit-Policy` (a structured-fields string: printable ASCII) and in keys.
    pub name: Rc<str>,
    /// Whose use it counts.
    pub per: Per,
    /// Its windows, at least one, at most eight; all must have room.
    pub windows: Vec<Window>,
    /// Windows for named groups or users in place of the policy's own.
    pub overrides: BTreeMap<EntityRef, Vec<Window>>,
    /// Windows for tiers that the catalog names, in place of the policy's own.
    pub tiers: BTreeMap<String, Vec<Window>>,
    /// Cost by upper-case method; 1 for the others.
    pub cost: BTreeMap<String, u32>,
}

impl QuotaPolicy {
    /// What a request with this method costs, in units.
    pub fn cost_of(&self, method: &str) -> u32 {
        self.cost.get(method).copied().unwrap_or(1)
    }
}

/// A limit over a span of time, such as `600/1m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// Units per window; at least 1.
    pub limit: u32,
    /// Length; whole seconds, at least 1 s, at most 31 days.
    pub length: Duration,
}

/// Why a text is no window; the words say what is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a limit and a length such as 600/1m: 1 to 4294967295 units in 1s to 31d, with s, m, h or d")]
pub struct WindowProblem;

/// Units of length, in seconds, longest first.
const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];
const LONGEST: u64 = 31 * 86_400;

impl Window {
    /// Parses `<limit>/<count><unit>`; a count of 1 may be left out.
    ///
    /// # Errors
    /// [`WindowProblem`], which says what is allowed.
    pub fn parse(text: &str) -> Result<Self, WindowProblem> {
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u32>().ok()).flatten();
        let (limit, length) = text.split_once('/').ok_or(WindowProblem)?;
        let (count, seconds) = UNITS
            .into_iter()
            .find_map(|(unit, seconds)| length.strip_suffix(unit).map(|count| (count, seconds)))
            .ok_or(WindowProblem)?;
        let count = if count.is_empty() { Some(1) } else { digits(count) }.ok_or(WindowProblem)?;
        let seconds = u64::from(count).saturating_mul(seconds);
        match digits(limit) {
            Some(limit) if limit > 0 && (1..=LONGEST).contains(&seconds) => {
                Ok(Self { limit, length: Duration::from_secs(seconds) })
            }
            _ => Err(WindowProblem),
        }
    }

    /// Its length in the largest unit that divides it, such as `1m` or `90s`.
    pub fn label(&self) -> String {
        let mut label = String::new();
        self.push_label(&mut label);
        label
    }

    /// Writes its label behind what is there.
    pub fn push_label(&self, to: &mut String) {
        let seconds = self.length.as_secs();
        let (unit, size) = UNITS.into_iter().find(|(_, size)| seconds.is_multiple_of(*size)).unwrap_or(("s", 1));
        to.push_str(itoa::Buffer::new().format(seconds / size));
        to.push_str(unit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_written_as_limit_and_length() {
        let cases = [
            ("600/1m", 600, 60, "1m"),
            ("20000/1d", 20_000, 86_400, "1d"),
            ("3/90s", 3, 90, "90s"),
            ("5/h", 5, 3_600, "1h"),
            ("1/24h", 1, 86_400, "1d"),
        ];
        for (text, limit, seconds, label) in cases {
            let window = Window::parse(text).unwrap();
            assert_eq!((window.limit, window.length.as_secs(), window.label().as_str()), (limit, seconds, label));
        }
        for text in
            ["", "600", "/1m", "0/1m", "6/0s", "6/32d", "6/1w", "-6/1m", "6/+1m", "6 /1m", "4294967296/1s", "6/1m/2"]
        {
            assert!(Window::parse(text).is_err(), "{text}");
        }
    }
}
