//! Pushes: what is told, to whom, how often, and what is never forgotten.

use super::*;

#[test]
fn what_was_admitted_while_the_engine_was_gone_is_owed_and_pushed() {
    let (redis, node, other, quotas) = (Redis::new(), Node::periodic(), Node::exact(), quotas(&[(30, 3600)]));
    let bill = node.bill(&quotas, "group:default/a", "GET");
    for _ in 0..10 {
        assert!(node.admits(None, &bill, NOW));
    }
    assert_eq!(node.push(None, after(1000)), 0, "it is left alone by now");
    let later = after(6000);
    node.push(None, later);
    let (back, next) = (after(12_000), after(13_000));
    for now in [back, next] {
        assert!(node.push(Some(&redis), now) > 0);
    }
    assert_eq!(states(&other.charge(&redis, &bill, next))[0].remaining, 30 - 11);
    node.push(Some(&redis), after(14_000));
    assert_eq!(states(&other.charge(&redis, &bill, next))[0].remaining, 30 - 12, "what was pushed is pushed once");
}

#[test]
fn a_debt_outlives_a_long_outage_and_an_engine_that_failed_is_tried_with_one_record() {
    let (redis, node, quotas) = (Redis::new(), Node::periodic(), quotas(&[(30, 3600)]));
    let bills = ["group:default/a", "group:default/b"].map(|group| node.bill(&quotas, group, "GET"));
    for bill in bills.iter().cycle().take(10) {
        assert!(node.admits(None, bill, NOW));
    }
    let hour = 3_600_000;
    assert_eq!(node.push(None, after(hour)), 1);
    assert_eq!(node.push(Some(&redis), after(hour + 10_000)), 3, "the one loads the script on its way");
    node.push(Some(&redis), after(hour + 11_000));
    assert_eq!(bills.map(|bill| redis.count(&bill.lines[0].shared, 3600)), [5, 5]);
}

#[test]
fn counts_grow_no_younger_by_a_push_that_is_not_answered() {
    let (redis, node, quotas) = (Redis::new(), Node::periodic(), quotas(&[(30, 3600)]));
    let bill = node.bill(&quotas, "group:default/a", "GET");
    assert!(node.admits(Some(&redis), &bill, NOW));
    let late = after(2001);
    assert!(node.state.is_due(late) && !node.state.is_due(after(500)));
    let _push = node.state.next_push(&node.store, late).unwrap();
    assert_eq!(node.knows(&bill, late), None);
    assert!(node.state.next_push(&node.store, after(2501)).is_none(), "one an interval");
    // The engine's clock is set back by a day: what was told before it does not serve for a day, and is pushed.
    let yesterday = UnixMillis(NOW.0 - 86_400_000);
    let node = Node::periodic();
    assert!(node.admits(Some(&redis), &bill, NOW));
    assert_eq!(node.knows(&bill, yesterday), None);
    assert!(node.state.next_push(&node.store, yesterday).is_some());
}

#[test]
fn a_record_is_pushed_by_one_worker_of_a_node_and_others_take_part_in_what_comes_back() {
    let (redis, first, quotas) = (Redis::new(), Node::periodic(), quotas(&[(30, 3600)]));
    let second = first.worker();
    let bill = first.bill(&quotas, "group:default/a", "GET");
    assert!(first.admits(Some(&redis), &bill, NOW));
    assert_eq!(knows(&second, &first.store, &bill, NOW), Some(true), "the other worker knows the counts");
    let tick = after(1000);
    assert_eq!(first.push(Some(&redis), tick), 1, "both records in one call");
    assert!(second.next_push(&first.store, tick).is_none());
    assert_eq!(redis.count(&bill.lines[0].shared, 3600), 2);
}

#[test]
fn units_in_flight_stay_in_the_nodes_counts_whatever_is_answered_meanwhile() {
    let (redis, node, quotas) = (Redis::new(), Node::periodic(), one_quota(10, 3600));
    let bill = node.bill(&quotas, "group:default/a", "GET");
    let mut admitted = (0..6).filter(|_| node.admits(Some(&redis), &bill, NOW)).count();
    // A worker asks, and the engine answers before the push arrives, which another worker has begun.
    let late = after(2500);
    let Begun::Ask(ask) = node.worker().begin(&bill, &node.store, late) else { panic!("does not ask") };
    let reply = redis.answer(&node.state.asked(&ask, late).to.path, late);
    let push = node.state.next_push(&node.store, late).unwrap();
    let answered = node.state.answered(&bill, ask, &node.store, after(2501), reply.as_ref());
    admitted += usize::from(matches!(answered, Answered::Charged(Charge::Charged(_))));
    admitted += (0..20).filter(|_| node.knows(&bill, after(2502)) == Some(true)).count();
    assert_eq!(admitted, 10);
    node.carry_out(push, Some(&redis), after(2503));
    assert_eq!(node.knows(&bill, after(2504)), Some(false), "nor does its answer give room");
    node.push(Some(&redis), after(3500));
    assert_eq!(redis.count(&bill.lines[0].shared, 3600), 10);
}

#[test]
fn a_debt_that_a_worker_took_into_its_grave_is_told_by_another() {
    let (redis, node, quotas) = (Redis::new(), Node::periodic(), one_quota(10, 3600));
    let bill = node.bill(&quotas, "group:default/a", "GET");
    for _ in 0..4 {
        assert!(node.admits(Some(&redis), &bill, NOW));
    }
    drop(node.state.next_push(&node.store, after(1000)).unwrap());
    let second = Node { state: node.worker(), store: node.store };
    assert!(second.admits(Some(&redis), &bill, after(1500)));
    let mut counted = Vec::new();
    for second_ in 2..=22 {
        second.push(Some(&redis), after(second_ * 1000));
        counted.push(redis.count(&bill.lines[0].shared, 3600));
    }
    assert_eq!((counted[7], counted[20]), (2, 5), "not too soon, for it may yet arrive; and once: {counted:?}");
    assert_eq!([(); 6].map(|()| second.knows(&bill, after(22_500))).iter().filter(|it| **it == Some(true)).count(), 5);
}

#[test]
fn a_call_has_twenty_records_whatever_their_entities_and_each_is_told_once_an_interval() {
    let (redis, node, quotas) = (Redis::new(), Node::periodic(), one_quota(100, 3600));
    for nth in 0..90 {
        assert!(node.admits(Some(&redis), &node.bill(&quotas, &format!("group:default/g{nth}"), "GET"), NOW));
        assert!(node.admits(Some(&redis), &node.bill(&quotas, &format!("group:default/g{nth}"), "GET"), NOW));
    }
    let calls: Vec<_> = (0..7).map(|tick| node.push(Some(&redis), after(1000 + tick * 10))).collect();
    assert_eq!(calls, [1, 1, 1, 1, 1, 0, 0], "five calls, and then nothing is due");
    let total: u32 = (0..90)
        .map(|nth| redis.count(&node.bill(&quotas, &format!("group:default/g{nth}"), "GET").lines[0].shared, 3600))
        .sum();
    assert_eq!(total, 180);
}

#[test]
fn a_tick_looks_at_a_bounded_number_of_records() {
    struct Counting<'a>(&'a MemoryStore, Cell<usize>);
    impl SharedData for Counting<'_> {
        fn get(&self, key: &str) -> Result<Option<crate::host::Stored>, crate::host::StoreFailed> {
            self.1.set(self.1.get() + 1);
            self.0.get(key)
        }

        fn set(&self, key: &str, value: &[u8], expect: crate::host::Expect) -> Result<(), crate::host::WriteError> {
            self.0.set(key, value, expect)
        }
    }
    let (redis, node, quotas) = (Redis::new(), Node::periodic(), one_quota(100, 3600));
    // Another worker pushes all of them a moment before.
    let other = Node { state: node.worker(), store: MemoryStore::default() };
    for nth in 0..1000 {
        let bill = node.bill(&quotas, &format!("group:default/g{nth}"), "GET");
        assert!(node.admits(Some(&redis), &bill, NOW));
        assert_eq!(knows(&other.state, &node.store, &bill, NOW), Some(true));
    }
    while let Some(push) = other.state.next_push(&node.store, after(1000)) {
        node.carry_out(push, Some(&redis), after(1000));
    }
    let store = Counting(&node.store, Cell::new(0));
    let looks: Vec<_> = (0..7)
        .map(|_| {
            assert!(node.state.next_push(&store, after(1000)).is_none());
            store.1.replace(0)
        })
        .collect();
    assert_eq!(looks, [200, 200, 200, 200, 200, 0, 0]);
}

#[test]
fn a_clock_that_is_set_back_keeps_no_record_waiting() {
    let (redis, node, quotas) = (Redis::new(), Node::periodic(), one_quota(100, 3600));
    for nth in 0..30 {
        let bill = node.bill(&quotas, &format!("group:default/g{nth}"), "GET");
        assert!(node.admits(Some(&redis), &bill, NOW));
    }
    let back = |millis: u64| UnixMillis(NOW.0 - 3_600_000 + millis);
    let calls: Vec<_> = [0, 1, 1000, 1001].map(|millis| node.push(Some(&redis), back(millis))).into();
    assert_eq!(calls, [1, 1, 1, 1], "30 records in two calls, twice");
}

#[test]
fn a_node_whose_pushes_do_not_get_through_owes_no_more_than_it_admits_in_two_intervals() {
    let (redis, node, quotas) = (Redis::new(), Node::periodic(), one_quota(1000, 3600));
    let bill = node.bill(&quotas, "group:default/a", "GET");
    for nth in 1..=100 {
        assert!(node.admits(Some(&redis), &bill, after(nth * 100)));
        let owed = nth as u32 - redis.count(&bill.lines[0].shared, 3600);
        assert!(owed <= 21, "{owed} after {nth}");
    }
}

/// Three nodes with more subjects than a worker keeps in step; then one subject calls each of them, all they can take.
#[test]
fn a_subject_that_is_not_kept_in_step_asks_for_itself() {
    let (redis, quotas) = (Redis::new(), one_quota(100, 3600));
    let nodes = [Node::periodic(), Node::periodic(), Node::periodic()];
    for node in &nodes {
        let mut line = node.bill(&quotas, "group:default/a", "GET").lines.remove(0);
        for nth in 0..15_000 {
            line.key = format!("zone/q:x:p:group:group:default/g{nth}");
            node.state.in_use.borrow_mut().note(&line, false, NOW);
        }
    }
    let bill = nodes[0].bill(&quotas, "group:default/a", "GET");
    let admitted: usize =
        (0..120).map(|nth| nodes.iter().filter(|node| node.admits(Some(&redis), &bill, after(nth * 20))).count()).sum();
    assert_eq!((admitted, redis.count(&bill.lines[0].shared, 3600)), (100, 100));
}

#[test]
fn what_was_admitted_while_the_engine_was_gone_is_told_for_more_subjects_than_are_kept_in_step() {
    const SUBJECTS: usize = 12_000;
    let (redis, node, quotas) = (Redis::new(), Node::periodic(), one_quota(100, 3600));
    let bills: Vec<_> = (0..SUBJECTS).map(|nth| node.bill(&quotas, &format!("group:default/g{nth}"), "GET")).collect();
    assert!(bills.iter().all(|bill| node.admits(None, bill, NOW)));
    node.push(Some(&redis), after(6000));
    for tick in 0..SUBJECTS as u64 / 20 + 1 {
        node.push(Some(&redis), after(6010 + tick));
    }
    assert!(bills.iter().all(|bill| redis.count(&bill.lines[0].shared, 3600) == 1));
}
