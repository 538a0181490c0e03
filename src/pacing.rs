//! How nodes keep from asking a server all at once, or too often while it fails.
//!
//! Spreads come from a hash of the matter and the moment: nodes that were started together drift apart, and a test gets the
//! same times every run.

use crate::host::{UnixMillis, millis};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// Between nothing and `most`, by hash.
pub(crate) fn spread(matter: &str, now: UnixMillis, most: Duration) -> Duration {
    let mut hasher = DefaultHasher::new();
    (matter, now).hash(&mut hasher);
    let most = millis(most);
    Duration::from_millis(hasher.finish() % most.saturating_add(1))
}

/// A pause after `failures` in a row: `first`, then twice as long each time, up to `longest`.
pub(crate) fn doubled(first: Duration, failures: u32, longest: Duration) -> Duration {
    first.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(longest)
}
