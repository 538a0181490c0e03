//! When a set is fetched.

use crate::config::FetchSettings;
use crate::host::UnixMillis;
use crate::pacing::{doubled, spread};
use std::time::Duration;

/// Shortest age that a provider's `Cache-Control` can ask for.
const MIN_AGE: Duration = Duration::from_secs(60);
/// Longest pause after failures, unless the cool-down is longer.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// When a set that came now is fetched anew: at eight to nine tenths of the age that it may have. That is `max_age`, or
/// less where the provider asks for less, down to a minute.
pub(super) fn refresh_at(fetch: &FetchSettings, set: &str, now: UnixMillis, cache_control: Option<&str>) -> UnixMillis {
    let floor = MIN_AGE.min(fetch.max_age);
    let age = cache_control.and_then(max_age).map_or(fetch.max_age, |age| age.clamp(floor, fetch.max_age));
    now.after(age * 4 / 5).after(spread(set, now, age / 10))
}

/// When to try again after `failures` in a row: the cool-down while nothing serves, for then every request waits for it; twice
/// as long each time, up to a minute, while the last good set does, which is for as long as `serves`.
pub(super) fn retry_at(
    fetch: &FetchSettings,
    set: &str,
    now: UnixMillis,
    failures: u32,
    serves: Duration,
) -> UnixMillis {
    let longest = MAX_PAUSE.min(serves).max(fetch.cooldown);
    let pause = doubled(fetch.cooldown, failures, longest);
    now.after(pause).after(spread(set, now, pause / 5))
}

/// `max-age` of a `Cache-Control` (RFC 9111 §5.2.2); zero where the answer is not to be stored or used again unasked.
fn max_age(cache_control: &str) -> Option<Duration> {
    let mut age = None;
    for directive in cache_control.split(',').map(|directive| directive.trim().to_ascii_lowercase()) {
        match directive.split_once('=') {
            None if directive == "no-store" || directive == "no-cache" => return Some(Duration::ZERO),
            Some(("max-age", seconds)) => age = seconds.trim_matches('"').parse().ok().map(Duration::from_secs),
            _ => {}
        }
    }
    age
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FETCH: FetchSettings = FetchSettings {
        timeout: Duration::from_secs(2),
        max_age: Duration::from_secs(300),
        stale: Duration::from_secs(3600),
        cooldown: Duration::from_secs(10),
    };
    const NOW: UnixMillis = UnixMillis(1_750_000_000_000);

    fn seconds(span: std::ops::RangeInclusive<u64>, at: UnixMillis) -> bool {
        let millis = at.since(NOW).as_millis();
        (u128::from(*span.start()) * 1000..=u128::from(*span.end()) * 1000).contains(&millis)
    }

    #[test]
    fn a_provider_may_ask_for_less_than_max_age_but_not_for_less_than_a_minute() {
        let cases = [
            (None, 240..=270),
            (Some("public, max-age=100"), 80..=90),
            (Some("Max-Age=\"100\""), 80..=90),
            (Some("max-age=86400"), 240..=270),
            (Some("max-age=5, must-revalidate"), 48..=54),
            (Some("no-store"), 48..=54),
            (Some("max-age=900, no-cache"), 48..=54),
            (Some("max-age=soon"), 240..=270),
            (Some("private"), 240..=270),
        ];
        for (header, span) in cases {
            assert!(seconds(span, refresh_at(&FETCH, "set", NOW, header)), "{header:?}");
        }
        let short = FetchSettings { max_age: Duration::from_secs(20), ..FETCH };
        assert!(seconds(16..=18, refresh_at(&short, "set", NOW, Some("no-store"))));
    }

    #[test]
    fn pauses_double_up_to_a_minute_while_a_set_serves_and_stay_short_while_none_does() {
        let (long, soon_over) = (Duration::from_secs(3600), Duration::from_secs(30));
        for (failures, span) in [(1, 10..=12), (2, 20..=24), (3, 40..=48), (4, 60..=72), (4_000_000_000, 60..=72)] {
            assert!(seconds(span, retry_at(&FETCH, "set", NOW, failures, long)), "{failures}");
            assert!(seconds(10..=36, retry_at(&FETCH, "set", NOW, failures, soon_over)), "{failures}");
            assert!(seconds(10..=12, retry_at(&FETCH, "set", NOW, failures, Duration::ZERO)), "{failures}");
        }
    }

    #[test]
    fn nodes_drift_apart() {
        let times: std::collections::BTreeSet<_> =
            (0..100).map(|n| refresh_at(&FETCH, "set", UnixMillis(NOW.0 + n), None).0 - n).collect();
        assert!(times.len() > 90, "{}", times.len());
    }

    proptest! {
        #[test]
        fn any_header_gives_a_time_within_the_bounds(header in "\\PC{0,40}|max-age=[0-9]{0,25}") {
            prop_assert!(seconds(48..=270, refresh_at(&FETCH, "set", NOW, Some(&header))));
        }
    }
}
