//! The script, the node's own windows and a model of both are one algorithm.

use super::*;
use crate::quota::charge;
use proptest::prelude::*;

/// What was admitted, kept whole: an algorithm of its own to hold the others to.
#[derive(Default)]
struct Model(Vec<(String, u64, u32)>);

impl Model {
    fn used(&self, key: &str, window: Window, now: UnixMillis) -> u64 {
        let length = window.length.as_millis() as u64;
        let span = now.0 / length;
        let in_span = |wanted| -> u64 {
            let of_key = self.0.iter().filter(|(known, at, _)| known == key && at / length == wanted);
            of_key.map(|(_, _, units)| u64::from(*units)).sum()
        };
        let left = length - now.0 % length;
        in_span(span) + (in_span(span - 1) * left).div_ceil(length)
    }

    fn charge(&mut self, bill: &Bill, now: UnixMillis) -> bool {
        let fits = |window: &Window, line: &super::bill::BillLine| {
            line.units == 0 || self.used(&line.key, *window, now) + u64::from(line.units) <= u64::from(window.limit)
        };
        let all_fit = bill.lines.iter().all(|line| line.windows.iter().all(|window| fits(window, line)));
        if all_fit {
            self.0.extend(bill.lines.iter().map(|line| (line.key.clone(), now.0, line.units)));
        }
        all_fit
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_script_the_nodes_own_windows_and_a_model_give_the_same_answers(
        limits in (1..30u32, 1..60u32),
        requests in proptest::collection::vec((0..9_000u64, 0..2usize, 0..3usize), 1..60)
    ) {
        let quotas = quotas(&[(limits.0, 10), (limits.1, 60)]);
        let (redis, node, own, mut model) = (Redis::new(), Node::exact(), MemoryStore::default(), Model::default());
        let mut now = NOW;
        for (pause, group, method) in requests {
            now = UnixMillis(now.0 + pause);
            let group = ["group:default/a", "group:default/b"][group];
            let method = ["GET", "POST", "HEAD"][method];
            let bill = node.bill(&quotas, group, method);
            let shared = node.charge(&redis, &bill, now);
            let (api, group) = (entity("api:default/payments"), entity(group));
            let subjects = Subjects { entity: &api, group: Some(&group), principal: None, tiers: crate::quota::Tiers::default() };
            let local = charge(&own, &quotas, "zone", &subjects, method, now, || KeySecret::obtain(&own, "zone"));
            prop_assert_eq!(&shared, &local);
            prop_assert_eq!(matches!(shared, Charge::Charged(_)), model.charge(&bill, now));
        }
    }

    #[test]
    fn the_script_counts_large_numbers_to_the_unit(
        previous in 0..=u32::MAX, current in 0..1000u32, limit in 1..=u32::MAX, seconds in 1..2_678_400u64, elapsed: u64
    ) {
        let (script, node) = one_more_fits(previous, current, limit, seconds, elapsed);
        prop_assert_eq!(script, node);
    }
}

/// Found by chance once: nothing used yet, at the first moment of the shortest window.
#[test]
fn the_first_unit_of_an_unused_window_fits() {
    assert_eq!(one_more_fits(0, 0, 1, 1, 0), (true, true));
}

/// Whether one more unit fits, by the script and by the node's own windows.
fn one_more_fits(previous: u32, current: u32, limit: u32, seconds: u64, elapsed: u64) -> (bool, bool) {
    let window = Window { limit, length: Duration::from_secs(seconds) };
    let (length, redis) = (seconds * 1000, Redis::new());
    let now = UnixMillis(NOW.0 / length * length + elapsed % length);
    let counts = Counts { span: now.0 / length, previous, current };
    let node = Node::exact();
    let quotas = one_quota(limit, seconds);
    let bill = node.bill(&quotas, "group:default/a", "GET");
    redis.put(&bill.lines[0].shared, seconds, counts.span, previous, current);
    let charge = node.charge(&redis, &bill, now);
    (matches!(charge, Charge::Charged(_)), counts.fits(window, now, 1))
}

#[test]
fn the_scripts_name_is_its_digest() {
    use sha1::Digest;
    let digest = sha1::Sha1::digest(include_str!("../script.lua"));
    let name: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(name, protocol::SCRIPT_SHA1);
}

#[test]
fn a_clock_that_was_ahead_gives_nothing_back_there_either() {
    let (redis, node, quotas) = (Redis::new(), Node::exact(), quotas(&[(1, 60)]));
    let bill = node.bill(&quotas, "group:default/a", "GET");
    let year = NOW.after(Duration::from_secs(365 * 86_400));
    assert!(matches!(node.charge(&redis, &bill, year), Charge::Charged(_)));
    let refused = node.charge(&redis, &bill, NOW);
    assert!(matches!(refused, Charge::Exhausted(_)) && states(&refused)[0].reset_seconds <= 120);
}

#[test]
fn a_script_that_is_not_there_is_loaded_once() {
    let (redis, node, quotas) = (Redis::new(), Node::exact(), quotas(&[(9, 60)]));
    let bill = node.bill(&quotas, "group:default/a", "GET");
    assert!(matches!(node.charge(&redis, &bill, NOW), Charge::Charged(_)));
    assert_eq!(redis.calls(), 3, "run, load, run");
    assert!(matches!(node.charge(&redis, &bill, NOW), Charge::Charged(_)));
    assert_eq!(redis.calls(), 4);
    redis.refuse_to_load();
    assert_eq!(node.send(Some(&redis), &bill, NOW).1, Some(EngineError::Unusable), "it is not tried for ever");
}
