//! Questions of requests, and what comes of them.

use super::*;

/// Begins to ask.
fn ask(worker: &EngineState, store: &MemoryStore, bill: &Bill, now: UnixMillis) -> Ask {
    match worker.begin(bill, store, now) {
        Begun::Ask(ask) => ask,
        Begun::Charged(charge) => panic!("{charge:?}"),
        Begun::Unasked => panic!("left alone"),
    }
}

/// A question with the engine's answer.
fn asked(node: &Node, redis: &Redis, bill: &Bill, at: UnixMillis) -> (Ask, Option<Reply>) {
    let ask = ask(&node.state, &node.store, bill, at);
    let reply = redis.answer(&node.state.asked(&ask, at).to.path, at);
    (ask, reply)
}

fn is_charged(answered: &Answered) -> bool {
    matches!(answered, Answered::Charged(Charge::Charged(_)))
}

/// Loads the script, with a request of another subject.
fn loaded(redis: &Redis, node: &Node, quotas: &Quotas) {
    assert!(node.admits(Some(redis), &node.bill(quotas, "group:default/another", "GET"), NOW));
}

#[test]
fn an_answer_that_is_older_than_what_the_record_holds_does_not_lower_it() {
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]] {
        for step in [0, 1] {
            let (redis, node, quotas) = (Redis::new(), Node::periodic(), one_quota(4, 3600));
            loaded(&redis, &node, &quotas);
            let bill = node.bill(&quotas, "group:default/a", "GET");
            let mut asks = [0, 1, 2].map(|nth| Some(asked(&node, &redis, &bill, after(nth * step))));
            let mut admitted = 0;
            for nth in order {
                let (ask, reply) = asks[nth].take().unwrap();
                admitted +=
                    usize::from(is_charged(&node.state.answered(&bill, ask, &node.store, after(2), reply.as_ref())));
            }
            admitted += (0..5).filter(|_| node.knows(&bill, after(3)) == Some(true)).count();
            assert_eq!(admitted, 4, "in the order {order:?}, {step} ms apart");
        }
    }
}

#[test]
fn what_is_asked_for_is_seen_by_the_workers_that_go_by_what_the_node_knows() {
    let (redis, node, quotas) = (Redis::new(), Node::periodic(), one_quota(3, 3600));
    loaded(&redis, &node, &quotas);
    let bill = node.bill(&quotas, "group:default/a", "GET");
    let early = asked(&node, &redis, &bill, NOW);
    let late = asked(&node, &redis, &bill, after(1));
    assert!(is_charged(&node.state.answered(&bill, early.0, &node.store, after(1), early.1.as_ref())));
    assert_eq!([(); 3].map(|()| node.knows(&bill, after(2))), [Some(true), Some(false), Some(false)]);
    assert!(is_charged(&node.state.answered(&bill, late.0, &node.store, after(2), late.1.as_ref())));
    assert_eq!(node.knows(&bill, after(2)), Some(false));
}

#[test]
fn the_engine_is_not_asked_for_what_is_full_by_what_it_does_not_know_of_yet() {
    let (redis, node, quotas) = (Redis::new(), Node::periodic(), one_quota(3, 3600));
    let bill = node.bill(&quotas, "group:default/a", "GET");
    assert_eq!([(); 4].map(|()| node.admits(Some(&redis), &bill, NOW)), [true, true, true, false]);
    let late = after(2001);
    assert_eq!(node.knows(&bill, late), Some(false), "the engine knows of one, and would let two more pass");
    let push = node.state.next_push(&node.store, late).unwrap();
    assert_eq!(node.knows(&bill, late), Some(false), "nor while it is being told");
    node.carry_out(push, Some(&redis), late);
    assert_eq!(node.knows(&bill, late), Some(false));
    // An operator gives the budget back: the engine knows of everything, and may be asked.
    redis.put(&bill.lines[0].shared, 3600, NOW.0 / 3_600_000, 0, 0);
    assert_eq!(node.knows(&bill, after(4100)), None);
    assert!(node.admits(Some(&redis), &bill, after(4100)));
}

#[test]
fn what_was_asked_for_is_given_back_when_the_request_does_not_pass() {
    let (redis, node, quotas) = (Redis::new(), Node::periodic(), one_quota(3, 3600));
    loaded(&redis, &node, &quotas);
    let bill = node.bill(&quotas, "group:default/a", "GET");
    for _ in 0..5 {
        let gone = ask(&node.state, &node.store, &bill, NOW);
        node.state.abandon(&bill, &gone, &node.store, NOW);
        let unanswered = ask(&node.state, &node.store, &bill, NOW);
        let Answered::Failed(_, claims) = node.state.answered(&bill, unanswered, &node.store, NOW, None) else {
            panic!("answered")
        };
        node.state.withdraw(&bill, &claims, &node.store, NOW);
        node.state.breaker.succeeded();
    }
    assert_eq!([(); 4].map(|()| node.admits(Some(&redis), &bill, NOW)), [true, true, true, false]);
}

#[test]
fn what_no_answer_came_for_stays_charged_where_the_node_counts_for_itself_and_the_engine_is_told_of_it() {
    let (redis, node, quotas) = (Redis::new(), Node::periodic(), one_quota(3, 3600));
    loaded(&redis, &node, &quotas);
    let bill = node.bill(&quotas, "group:default/a", "GET");
    assert_eq!([(); 4].map(|()| node.admits(None, &bill, NOW)), [true, true, true, false]);
    node.push(Some(&redis), after(6000));
    node.push(Some(&redis), after(7000));
    assert_eq!(redis.count(&bill.lines[0].shared, 3600), 3);
}

#[test]
fn a_request_that_is_never_heard_of_again_holds_its_units_for_two_periods_at_most() {
    let (redis, node, quotas) = (Redis::new(), Node::periodic(), one_quota(2, 3600));
    loaded(&redis, &node, &quotas);
    let bill = node.bill(&quotas, "group:default/a", "GET");
    drop(ask(&node.state, &node.store, &bill, NOW));
    assert_eq!([(); 2].map(|()| node.admits(Some(&redis), &bill, after(1))), [true, false]);
    for second in 1..=20 {
        node.push(Some(&redis), after(second * 1000));
    }
    assert_eq!([(); 2].map(|()| node.knows(&bill, after(20_001))), [Some(true), Some(false)]);
}

#[test]
fn a_question_that_arrives_too_late_changes_nothing_and_a_clock_that_was_moved_is_learnt() {
    let (redis, node, quotas) = (Redis::new(), Node::exact(), quotas(&[(9, 3600)]));
    let bill = node.bill(&quotas, "group:default/a", "GET");
    node.charge(&redis, &bill, NOW);
    let late = ask(&node.state, &node.store, &bill, after(1));
    redis.answer(&node.state.asked(&late, after(1)).to.path, after(202));
    assert_eq!(redis.count(&bill.lines[0].shared, 3600), 1);

    // The engine's clock is set forward by a minute: the second question is in time.
    let (minute, calls) = (after(60_000), redis.calls());
    let mut next = Some(late);
    while let Some(ask) = next.take() {
        let reply = redis.answer(&node.state.asked(&ask, NOW).to.path, minute);
        match node.state.answered(&bill, ask, &node.store, NOW, reply.as_ref()) {
            Answered::Ask(ask) => next = Some(ask),
            answered => assert!(is_charged(&answered)),
        }
    }
    assert_eq!((redis.calls() - calls, node.state.time(NOW)), (2, minute));

    let body = br#"{"EVALSHA":[2,1750000000000]}"#.to_vec();
    let reply = Reply { status: 200, cache_control: None, body };
    let late = |ask| node.state.answered(&bill, ask, &node.store, NOW, Some(&reply));
    let Answered::Ask(again) = late(ask(&node.state, &node.store, &bill, NOW)) else { panic!("gives up") };
    assert!(matches!(late(again), Answered::Failed(EngineError::Late, _)), "it is not asked for ever");
}

#[test]
fn what_is_no_answer_of_the_script_is_an_error_of_its_kind() {
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
        let node = Node::exact();
        let bill = node.bill(&quotas(&[(9, 60)]), "group:default/a", "GET");
        let ask = ask(&node.state, &node.store, &bill, NOW);
        let Answered::Failed(found, _) = node.state.answered(&bill, ask, &node.store, NOW, reply.as_ref()) else {
            panic!("asks again, or takes it for an answer: {reply:?}")
        };
        assert_eq!(found, error, "{reply:?}");
    }
}

#[test]
fn a_nodes_clock_that_is_wrong_does_not_matter() {
    let (redis, quotas) = (Redis::new(), quotas(&[(3, 60)]));
    let (right, wrong) = (Node::periodic(), Node::periodic());
    let bill = right.bill(&quotas, "group:default/a", "GET");
    let behind = UnixMillis(NOW.0 - 7_200_000);
    assert!(right.admits(Some(&redis), &bill, NOW));
    // Redis answers by its own clock, whatever the node's says.
    let ask = ask(&wrong.state, &wrong.store, &bill, behind);
    let reply = redis.answer(&wrong.state.asked(&ask, behind).to.path, NOW);
    assert!(is_charged(&wrong.state.answered(&bill, ask, &wrong.store, behind, reply.as_ref())));
    assert_eq!(wrong.state.time(behind), NOW);
    assert_eq!([(); 2].map(|()| wrong.knows(&bill, behind)), [Some(true), Some(false)]);
}

#[test]
fn an_engines_clock_that_is_set_back_is_followed() {
    for back in [500, 60_000, 86_400_000] {
        let (redis, node, quotas) = (Redis::new(), Node::periodic(), one_quota(9, 3600));
        let bill = node.bill(&quotas, "group:default/a", "GET");
        assert!(node.admits(Some(&redis), &bill, NOW));
        let (now, then) = (after(10_000), UnixMillis(NOW.0 - back));
        let ask = ask(&node.state, &node.store, &bill, now);
        let mut next = Some(ask);
        while let Some(ask) = next.take() {
            let reply = redis.answer(&node.state.asked(&ask, now).to.path, then);
            if let Answered::Ask(ask) = node.state.answered(&bill, ask, &node.store, now, reply.as_ref()) {
                next = Some(ask);
            }
        }
        assert_eq!((node.state.time(now), node.knows(&bill, now)), (then, Some(true)), "by {back} ms");
    }
}
