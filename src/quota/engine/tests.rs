//! The engine's script and the node's own windows are one algorithm, and counts come together again whatever fails.
//!
//! Redis is stood in for by its script, run on a clock that the tests move; the real one is in the harness.

mod redis;

use super::*;
use crate::config::{Mode as QuotaMode, Per, QuotaPolicy, Quotas, StoreFault as OnStoreError, Window};
use crate::entity::EntityRef;
use crate::host::MemoryStore;
use crate::http::{Endpoint, Reply};
use crate::quota::{KeySecret, Subjects, WindowState, charge};
use proptest::prelude::*;
use redis::Redis;
use std::time::Duration;

/// The middle of a minute.
const NOW: UnixMillis = UnixMillis(1_750_000_010_000);

fn settings(synchronise: crate::config::Synchronise) -> Engine {
    Engine {
        endpoint: Endpoint::parse("http://webdis:7379", None).unwrap(),
        authorization: None,
        synchronise,
        interval: Duration::from_secs(1),
        timeout: Duration::from_millis(200),
        on_error: crate::config::EngineFault::Local,
        breaker: crate::config::Breaker { failures: 3, open: Duration::from_secs(5) },
    }
}

fn quotas(windows: &[(u32, u64)]) -> Quotas {
    let windows =
        windows.iter().map(|(limit, seconds)| Window { limit: *limit, length: Duration::from_secs(*seconds) });
    let policy = |name: &str, per, windows| QuotaPolicy {
        name: name.into(),
        per,
        windows,
        overrides: BTreeMap::new(),
        tiers: BTreeMap::new(),
        cost: [("POST".to_owned(), 5), ("HEAD".to_owned(), 0)].into(),
    };
    let wide = vec![Window { limit: 40, length: Duration::from_secs(90) }];
    let policies = vec![policy("per-group", Per::Group, windows.collect()), policy("all", Per::Entity, wide)];
    Quotas {
        mode: QuotaMode::Enforce,
        on_store_error: OnStoreError::Deny,
        engine: None,
        x_ratelimit_headers: false,
        policies,
    }
}

/// A gateway node.
struct Node {
    store: MemoryStore,
    state: Rc<EngineState>,
}

impl Node {
    fn new() -> Self {
        let state = Engines::default().get(&settings(crate::config::Synchronise::Periodic));
        Self { store: MemoryStore::default(), state }
    }

    fn bill(&self, quotas: &Quotas, group: &str, method: &str) -> Bill {
        let (api, group) = (entity("api:default/payments"), entity(group));
        let subjects =
            Subjects { entity: &api, group: Some(&group), principal: None, tiers: crate::quota::Tiers::default() };
        Bill::new(quotas, "zone", &subjects, method, || KeySecret::obtain(&self.store, "zone")).unwrap()
    }

    /// A request under exact synchronisation.
    fn exact(&self, redis: Option<&Redis>, bill: &Bill, now: UnixMillis) -> Option<Result<Charge, EngineError>> {
        let told = self.tell(redis, bill, now)?;
        Some(told.map(|told| told.charge))
    }

    fn tell(&self, redis: Option<&Redis>, bill: &Bill, now: UnixMillis) -> Option<Result<Told, EngineError>> {
        let mut asking = self.state.ask(bill, now)?;
        let tally = loop {
            let reply = redis.and_then(|redis| redis.answer(&asking.call(self.state.engine()).to.path, now));
            match asking.answered(reply.as_ref()) {
                Answered::Ask(next) => asking = next,
                Answered::Done(tally) => break tally,
            }
        };
        Some(self.state.told(bill, tally, now))
    }

    /// A request under periodic synchronisation; whether it was admitted.
    fn periodic(&self, redis: Option<&Redis>, bill: &Bill, now: UnixMillis) -> bool {
        let charge =
            self.state.charge_known(bill, &self.store, now).unwrap_or_else(|| match self.tell(redis, bill, now) {
                Some(Ok(told)) => {
                    self.state.adopt(bill, &told, &self.store, now);
                    told.charge
                }
                Some(Err(_)) | None => self.state.charge_alone(bill, &self.store, now),
            });
        matches!(charge, Charge::Charged(_))
    }

    /// A tick. Returns how many calls it made.
    fn push(&self, redis: Option<&Redis>, now: UnixMillis) -> usize {
        let mut calls = 0;
        for push in self.state.pushes(&self.store, now) {
            let mut next = Some(push);
            while let Some(push) = next.take() {
                calls += 1;
                let reply = redis.and_then(|redis| redis.answer(&push.call().to.path, now));
                if let Pushed::Next(push) = push.answered(&self.store, now, reply.as_ref()) {
                    next = Some(push);
                }
            }
        }
        calls
    }
}

fn entity(text: &str) -> EntityRef {
    EntityRef::parse_full(text).unwrap()
}

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
        let fits = |window: &Window, line: &bill::Line| {
            line.units == 0 || self.used(&line.key, *window, now) + u64::from(line.units) <= u64::from(window.limit)
        };
        let all_fit = bill.lines.iter().all(|line| line.windows.iter().all(|window| fits(window, line)));
        if all_fit {
            self.0.extend(bill.lines.iter().map(|line| (line.key.clone(), now.0, line.units)));
        }
        all_fit
    }
}

fn states(charge: &Charge) -> &[WindowState] {
    match charge {
        Charge::Charged(states) | Charge::Exhausted(states) => states,
        Charge::StoreFailed(fault) => panic!("{fault}"),
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
        let (redis, node, own, mut model) = (Redis::new(), Node::new(), MemoryStore::default(), Model::default());
        let mut now = NOW;
        for (pause, group, method) in requests {
            now = UnixMillis(now.0 + pause);
            let group = ["group:default/a", "group:default/b"][group];
            let method = ["GET", "POST", "HEAD"][method];
            let bill = node.bill(&quotas, group, method);
            let shared = node.exact(Some(&redis), &bill, now).unwrap().unwrap();
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
        let window = Window { limit, length: Duration::from_secs(seconds) };
        let (length, redis) = (seconds * 1000, Redis::new());
        let now = UnixMillis(NOW.0 / length * length + elapsed % length);
        let counts = super::super::window::Counts { span: now.0 / length, previous, current };
        let node = Node::new();
        let mut quotas = quotas(&[(limit, seconds)]);
        quotas.policies.truncate(1);
        let bill = node.bill(&quotas, "group:default/a", "GET");
        redis.put(&bill.lines[0].shared, seconds, counts.span, previous, current);
        let charge = node.exact(Some(&redis), &bill, now).unwrap().unwrap();
        prop_assert_eq!(matches!(charge, Charge::Charged(_)), counts.fits(window, now, 1));
    }

    #[test]
    fn periodic_passes_a_budget_by_no_more_than_it_says(
        requests in proptest::collection::vec((0..400u64, 0..3usize), 1..300)
    ) {
        let quotas = quotas(&[(30, 3600)]);
        let (redis, nodes) = (Redis::new(), [Node::new(), Node::new(), Node::new()]);
        let (mut now, mut ticked, mut admitted) = (NOW, NOW, 0_u64);
        for (pause, node) in requests {
            now = UnixMillis(now.0 + pause);
            while now.since(ticked) >= Duration::from_secs(1) {
                ticked = ticked.after(Duration::from_secs(1));
                nodes.iter().for_each(|node| { node.push(Some(&redis), ticked); });
            }
            let bill = nodes[node].bill(&quotas, "group:default/a", "GET");
            admitted += u64::from(nodes[node].periodic(Some(&redis), &bill, now));
        }
        prop_assert!(admitted <= 30 + 2 * 30, "{admitted}");
    }
}

#[test]
fn the_scripts_name_is_its_digest() {
    use sha1::Digest;
    let digest = sha1::Sha1::digest(include_str!("script.lua"));
    let name: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(name, protocol::SCRIPT_SHA1);
}

#[test]
fn a_clock_that_was_ahead_gives_nothing_back_there_either() {
    let (redis, node, quotas) = (Redis::new(), Node::new(), quotas(&[(1, 60)]));
    let bill = node.bill(&quotas, "group:default/a", "GET");
    let year = NOW.after(Duration::from_secs(365 * 86_400));
    assert!(matches!(node.exact(Some(&redis), &bill, year), Some(Ok(Charge::Charged(_)))));
    let Some(Ok(refused)) = node.exact(Some(&redis), &bill, NOW) else { panic!("no answer") };
    assert!(matches!(refused, Charge::Exhausted(_)) && states(&refused)[0].reset_seconds <= 120);
}

#[test]
fn a_script_that_is_not_there_is_loaded_once() {
    let (redis, node, quotas) = (Redis::new(), Node::new(), quotas(&[(9, 60)]));
    let bill = node.bill(&quotas, "group:default/a", "GET");
    assert!(matches!(node.exact(Some(&redis), &bill, NOW), Some(Ok(Charge::Charged(_)))));
    assert_eq!(redis.calls(), 3, "run, load, run");
    assert!(matches!(node.exact(Some(&redis), &bill, NOW), Some(Ok(Charge::Charged(_)))));
    assert_eq!(redis.calls(), 4);
    redis.refuse_to_load();
    assert_eq!(node.exact(Some(&redis), &bill, NOW), Some(Err(EngineError::Unusable)), "it is not tried for ever");
}

#[test]
fn a_question_that_arrives_too_late_changes_nothing_and_a_clock_that_was_moved_is_learnt() {
    let (redis, node, quotas) = (Redis::new(), Node::new(), quotas(&[(9, 3600)]));
    let bill = node.bill(&quotas, "group:default/a", "GET");
    assert!(node.periodic(Some(&redis), &bill, NOW));
    assert!(node.periodic(Some(&redis), &bill, NOW));
    let tick = NOW.after(Duration::from_secs(1));
    let [late] = node.state.pushes(&node.store, tick).try_into().ok().unwrap();
    let call = late.call();
    assert!(matches!(late.answered(&node.store, tick, None), Pushed::Done(Err(EngineError::Failed))));
    redis.answer(&call.to.path, tick.after(Duration::from_millis(201)));
    assert_eq!(redis.count(&bill.lines[0].shared, 3600), 1);
    node.push(Some(&redis), tick.after(Duration::from_secs(1)));
    assert_eq!(redis.count(&bill.lines[0].shared, 3600), 2, "its debt is told by the next");

    // The engine's clock is set forward by a minute: the second question is in time.
    let calls = redis.calls();
    let mut asking = node.state.ask(&bill, tick).unwrap();
    let minute = tick.after(Duration::from_secs(60));
    let tally = loop {
        let reply = redis.answer(&asking.call(node.state.engine()).to.path, minute);
        match asking.answered(reply.as_ref()) {
            Answered::Ask(next) => asking = next,
            Answered::Done(tally) => break tally,
        }
    };
    assert!(node.state.told(&bill, tally, tick).is_ok());
    assert_eq!(redis.calls() - calls, 2);
    assert_eq!(node.state.time(tick), minute);
    let body = br#"{"EVALSHA":[2,1750000000000]}"#.to_vec();
    let reply = Reply { status: 200, cache_control: None, body };
    let late = |asking: Asking| asking.answered(Some(&reply));
    let Answered::Ask(again) = late(node.state.ask(&bill, tick).unwrap()) else { panic!("gives up") };
    assert!(matches!(late(again), Answered::Done(Err(EngineError::Late))), "it is not asked for ever");
}

#[test]
fn what_is_no_answer_of_the_script_is_an_error_of_its_kind() {
    let node = Node::new();
    let bill = node.bill(&quotas(&[(9, 60)]), "group:default/a", "GET");
    let reply = |status, body: &str| Some(Reply { status, cache_control: None, body: body.as_bytes().to_vec() });
    let cases = [
        (None, EngineError::Failed),
        (reply(503, ""), EngineError::Failed),
        (reply(403, ""), EngineError::Refused),
        (reply(401, ""), EngineError::Refused),
        (reply(404, ""), EngineError::Unusable),
        (reply(200, ""), EngineError::Unusable),
        (reply(200, "<html>"), EngineError::Unusable),
        (reply(200, r#"{"EVALSHA":[]}"#), EngineError::Unusable),
        (reply(200, r#"[1,1750000000000,1,0,1,1,0,1]"#), EngineError::Unusable),
        (reply(200, r#"[[1,1750000000000,1,0,1,1,0,1]]"#), EngineError::Unusable),
        (reply(200, r#"{"EVALSHA":[1,2]}"#), EngineError::Unusable),
        (reply(200, r#"{"EVALSHA":[2,-1]}"#), EngineError::Unusable),
        (reply(200, r#"{"EVALSHA":[2,1750000000000,1,0,1,1,0,1]}"#), EngineError::Unusable),
        (reply(200, r#"{"EVALSHA":[1,1750000000000,1,0,-1,1,0,1]}"#), EngineError::Unusable),
        (reply(200, r#"{"EVALSHA":[1,1750000000000,1,0,1,1,0]}"#), EngineError::Unusable),
        (reply(200, r#"{"EVALSHA":[1,1750000000000,1,0,1,1,0,1,1,0,1]}"#), EngineError::Unusable),
        (reply(200, r#"{"EVALSHA":[false,"ERR unknown command"]}"#), EngineError::Unusable),
    ];
    for (reply, error) in cases {
        let asking = node.state.asking(Mode::Try, &bill, NOW);
        let Answered::Done(tally) = asking.answered(reply.as_ref()) else { panic!("asks again") };
        let told = Engines::default().get(node.state.engine()).told(&bill, tally, NOW);
        assert_eq!(told.err(), Some(error), "{reply:?}");
    }
}

#[test]
fn what_was_admitted_while_the_engine_was_gone_is_owed_and_pushed() {
    let (redis, node, other, quotas) = (Redis::new(), Node::new(), Node::new(), quotas(&[(30, 3600)]));
    let bill = node.bill(&quotas, "group:default/a", "GET");
    for _ in 0..10 {
        assert!(node.periodic(None, &bill, NOW));
    }
    assert_eq!(node.push(None, NOW.after(Duration::from_secs(1))), 0, "it is left alone by now");
    let later = NOW.after(Duration::from_secs(6));
    node.push(None, later);
    let back = later.after(Duration::from_secs(6));
    let next = back.after(Duration::from_secs(1));
    for now in [back, next] {
        assert!(node.push(Some(&redis), now) > 0);
    }
    let Some(Ok(charge)) = other.exact(Some(&redis), &bill, next) else { panic!("no answer") };
    assert_eq!(states(&charge)[0].remaining, 30 - 11);
    node.push(Some(&redis), next.after(Duration::from_secs(1)));
    let Some(Ok(charge)) = other.exact(Some(&redis), &bill, next) else { panic!("no answer") };
    assert_eq!(states(&charge)[0].remaining, 30 - 12, "what was pushed is pushed once");
}

#[test]
fn a_debt_outlives_a_long_outage_and_an_engine_that_failed_is_tried_with_one_record() {
    let (redis, node, quotas) = (Redis::new(), Node::new(), quotas(&[(30, 3600)]));
    let bills = ["group:default/a", "group:default/b"].map(|group| node.bill(&quotas, group, "GET"));
    for bill in bills.iter().cycle().take(10) {
        assert!(node.periodic(None, bill, NOW));
    }
    let hour = Duration::from_secs(3600);
    assert_eq!(node.push(None, NOW.after(hour)), 1);
    let back = NOW.after(hour + Duration::from_secs(10));
    assert_eq!(node.push(Some(&redis), back), 3, "the one loads the script on its way");
    node.push(Some(&redis), back.after(Duration::from_secs(1)));
    assert_eq!(bills.map(|bill| redis.count(&bill.lines[0].shared, 3600)), [5, 5]);
}

#[test]
fn counts_grow_no_younger_by_a_push_that_is_not_answered() {
    let (redis, node, quotas) = (Redis::new(), Node::new(), quotas(&[(30, 3600)]));
    let bill = node.bill(&quotas, "group:default/a", "GET");
    assert!(node.periodic(Some(&redis), &bill, NOW));
    let late = NOW.after(Duration::from_millis(2001));
    let pushes = node.state.pushes(&node.store, late);
    assert_eq!(pushes.len(), 1);
    assert!(node.state.charge_known(&bill, &node.store, late).is_none());
    assert!(node.state.pushes(&node.store, late.after(Duration::from_millis(500))).is_empty(), "one an interval");
    // The engine's clock is set back by a day: what was told before it does not serve for a day, and is pushed.
    let day = Duration::from_secs(86_400);
    let yesterday = UnixMillis(NOW.0 - u64::try_from(day.as_millis()).unwrap());
    let node = Node::new();
    assert!(node.periodic(Some(&redis), &bill, NOW));
    node.state.told(&bill, Err(EngineError::Failed), NOW).unwrap_err();
    assert!(node.state.charge_known(&bill, &node.store, yesterday).is_none());
    assert_eq!(node.state.pushes(&node.store, yesterday).len(), 1);
}

#[test]
fn a_record_is_pushed_by_one_worker_of_a_node_and_others_take_part_in_what_comes_back() {
    let (redis, first, quotas) = (Redis::new(), Node::new(), quotas(&[(30, 3600)]));
    let second = Engines::default().get(first.state.engine());
    let bill = first.bill(&quotas, "group:default/a", "GET");
    assert!(first.periodic(Some(&redis), &bill, NOW));
    assert!(second.charge_known(&bill, &first.store, NOW).is_some(), "the other worker knows the counts");
    let tick = NOW.after(Duration::from_secs(1));
    assert_eq!(first.push(Some(&redis), tick), 1, "both records in one call");
    assert!(second.pushes(&first.store, tick).is_empty());
    assert_eq!(redis.count(&bill.lines[0].shared, 3600), 2);
}

#[test]
fn a_nodes_clock_that_is_wrong_does_not_matter() {
    let (redis, quotas) = (Redis::new(), quotas(&[(3, 60)]));
    let (right, wrong) = (Node::new(), Node::new());
    let bill = right.bill(&quotas, "group:default/a", "GET");
    let behind = |now: UnixMillis| UnixMillis(now.0 - 7_200_000);
    assert!(right.periodic(Some(&redis), &bill, NOW));
    // Redis answers by its own clock, whatever the node's says.
    let asking = wrong.state.ask(&bill, behind(NOW)).unwrap();
    let reply = redis.answer(&asking.call(wrong.state.engine()).to.path, NOW);
    let Answered::Done(tally) = asking.answered(reply.as_ref()) else { panic!("asks again") };
    let told = wrong.state.told(&bill, tally, behind(NOW)).unwrap();
    wrong.state.adopt(&bill, &told, &wrong.store, behind(NOW));
    assert_eq!(wrong.state.time(behind(NOW)), NOW);
    assert!(
        wrong.state.charge_known(&bill, &wrong.store, behind(NOW)).is_some_and(|c| matches!(c, Charge::Charged(_)))
    );
    assert!(
        wrong.state.charge_known(&bill, &wrong.store, behind(NOW)).is_some_and(|c| matches!(c, Charge::Exhausted(_)))
    );
}
