//! Quotas in HTTP fields: the IETF RateLimit header draft (-11), and `X-RateLimit-*` for clients that know nothing else.

use super::WindowState;
use crate::bytes::is_same;

/// The fields of an answer. One item a window; an item is named for its policy, and for its window too where the policy has
/// several, since names must not repeat (draft §4).
pub fn headers(states: &[WindowState], x_ratelimit: bool) -> Vec<(&'static str, String)> {
    let Some(tightest) = states.iter().min_by_key(|state| (!state.violated, state.remaining)) else {
        return Vec::new();
    };
    let mut number = itoa::Buffer::new();
    let (mut policies, mut rest) = (String::with_capacity(48 * states.len()), String::with_capacity(48 * states.len()));
    for (nth, state) in states.iter().enumerate() {
        let begin = policies.len();
        policies.push_str(if begin == 0 { "\"" } else { ", \"" });
        push_name(&mut policies, nth, states);
        policies.push('"');
        // Both lists begin an item alike.
        rest.push_str(policies.get(begin..).unwrap_or_default());
        let parameters = [
            (&mut policies, [(";q=", u64::from(state.window.limit)), (";w=", state.window.length.as_secs())]),
            (&mut rest, [(";r=", state.remaining.into()), (";t=", state.reset_seconds.into())]),
        ];
        for (list, parameters) in parameters {
            for (parameter, value) in parameters {
                list.push_str(parameter);
                list.push_str(number.format(value));
            }
        }
    }
    let mut headers = vec![("ratelimit-policy", policies), ("ratelimit", rest)];
    if x_ratelimit {
        headers.push(("x-ratelimit-limit", tightest.window.limit.to_string()));
        headers.push(("x-ratelimit-remaining", tightest.remaining.to_string()));
        headers.push(("x-ratelimit-reset", tightest.reset_seconds.to_string()));
    }
    headers
}

/// Seconds until every violated window has room; never earlier than any `t` among them.
pub fn retry_after_seconds(states: &[WindowState]) -> u32 {
    states.iter().filter(|state| state.violated).map(|state| state.reset_seconds).max().unwrap_or(1)
}

/// Names of the violated items, for `violated-policies` of the problem.
pub fn violated(states: &[WindowState]) -> Vec<String> {
    let violated = states.iter().enumerate().filter(|(_, state)| state.violated);
    violated.map(|(nth, _)| name(nth, states)).collect()
}

fn name(nth: usize, states: &[WindowState]) -> String {
    let mut name = String::new();
    push_name(&mut name, nth, states);
    name
}

/// The windows of a policy stand side by side. The configuration holds policy names to characters that need no escaping in a structured-fields string (RFC 9651 §3.3.3).
fn push_name(to: &mut String, nth: usize, states: &[WindowState]) {
    let Some(state) = states.get(nth) else { return };
    to.push_str(&state.policy);
    let neighbours = [nth.checked_sub(1), Some(nth + 1)];
    let mut others = neighbours.into_iter().flatten().filter_map(|nth| states.get(nth));
    if others.any(|other| is_same(other.policy.as_bytes(), state.policy.as_bytes())) {
        to.push('-');
        state.window.push_label(to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Window;
    use std::time::Duration;

    fn state(policy: &str, limit: u32, seconds: u64, remaining: u32, violated: bool) -> WindowState {
        let window = Window { limit, length: Duration::from_secs(seconds) };
        WindowState { policy: policy.into(), window, remaining, reset_seconds: 30, violated }
    }

    #[test]
    fn items_are_structured_fields_with_names_of_their_own() {
        let states = [
            state("group", 600, 60, 50, false),
            state("group", 20_000, 86_400, 7, false),
            state("all", 5, 90, 5, false),
        ];
        let headers = headers(&states, false);
        assert_eq!(
            headers[0],
            ("ratelimit-policy", "\"group-1m\";q=600;w=60, \"group-1d\";q=20000;w=86400, \"all\";q=5;w=90".into())
        );
        assert_eq!(headers[1], ("ratelimit", "\"group-1m\";r=50;t=30, \"group-1d\";r=7;t=30, \"all\";r=5;t=30".into()));
        assert_eq!(headers.len(), 2);
    }

    #[test]
    fn the_older_fields_speak_of_the_tightest_window() {
        let states = [state("a", 600, 60, 50, false), state("b", 9, 60, 60, true)];
        assert!(headers(&states, true).contains(&("x-ratelimit-limit", "9".to_owned())));
        assert_eq!(violated(&states), ["b"]);
        assert_eq!(retry_after_seconds(&states), 30);
    }

    #[test]
    fn without_quotas_there_are_no_fields() {
        assert!(headers(&[], true).is_empty());
    }
}
