//! Budgets that an engine keeps: what comes of its answers, and of none.

use super::*;
use std::time::Duration;

fn with_engine(settings: &Value) -> Value {
    let mut engine =
        json!({"url": "http://webdis:7379", "user": "gateway", "password": "secret", "synchronise": "exact"});
    engine.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    let mut config = config();
    let policies = json!([{"name": "per-group", "per": "group", "windows": ["2/1h"]}]);
    config["quotas"] = json!({"engine": engine, "policies": policies});
    config
}

fn says(status: u16, body: &str) -> Option<Reply> {
    Some(Reply { status, cache_control: None, body: body.into() })
}

/// The engine's answer to a question for one window of an hour.
fn counted(charged: bool, used: u32) -> Option<Reply> {
    let span = NOW.0 / 3_600_000;
    says(200, &json!({"EVALSHA": [u8::from(charged), NOW.0, span, 0, used]}).to_string())
}

/// A request at a time, with that answer to whatever it asks the engine, and whether it asked.
fn send(node: &Node, route: &Rc<Route>, now: UnixMillis, reply: Option<&Reply>) -> (Effect, bool) {
    let request = get(Some(&token(json!({"groups": ["checkout"]}))));
    let (exchange, effect) = node.send_at(route, now, &request);
    let Effect::Dispatch(_) = effect else { return (effect, false) };
    (exchange.answered(&node.cx(now), &request, reply).1, true)
}

fn audit(effect: &Effect) -> Value {
    let line = match effect {
        Effect::Forward(forward) => &forward.audit,
        Effect::Answer(answer) => &answer.audit,
        Effect::Dispatch(_) | Effect::Nothing => panic!("no end of the request"),
    };
    serde_json::from_str(&line.as_ref().unwrap().1).unwrap()
}

#[test]
fn the_engines_word_is_the_answer() {
    let node = Node::new();
    let route = node.route(&with_engine(&json!({})));
    let request = get(Some(&token(json!({"groups": ["checkout"]}))));
    let Effect::Dispatch(call) = node.send(&route, &request).1 else { panic!("does not ask") };
    assert_eq!(call.to.upstream, "webdis:7379");
    assert_eq!(call.authorization.as_deref(), Some("Basic Z2F0ZXdheTpzZWNyZXQ="));
    let path = "/bk:%7Bapi:default%2Fpayments%7D:per-group:group:group:default%2Fcheckout/try/0/1/1/3600/2";
    assert!(call.to.path.starts_with("/EVALSHA/") && call.to.path.ends_with(path), "{}", call.to.path);

    let (effect, _) = send(&node, &route, NOW, counted(true, 1).as_ref());
    assert!(audit(&effect).get("quota_engine").is_none());
    forwarded(effect);
    let (effect, _) = send(&node, &route, NOW, counted(false, 2).as_ref());
    let (status, problem) = answered(effect);
    assert_eq!((status, problem["violated-policies"][0].as_str()), (429, Some("per-group")));
}

#[test]
fn what_happens_without_an_answer_is_the_configurations_to_say() {
    let none = [
        None,
        says(503, ""),
        says(403, ""),
        says(404, ""),
        says(200, "<html>"),
        says(200, r#"{"EVALSHA":[false,"WRONGTYPE of a key"]}"#),
        says(200, r#"{"EVALSHA":[1,1750000000000]}"#),
        says(200, r#"{"EVALSHA":[1,-5,0,0,0]}"#),
        says(200, r#"{"EVALSHA":[1,1750000000000,486111,0,99999999999]}"#),
    ];
    for reply in none {
        for (choice, statuses) in [("local", [200, 200, 429]), ("deny", [503, 503, 503]), ("allow", [200, 200, 200])] {
            let node = Node::new();
            let route = node.route(&with_engine(&json!({"on_engine_error": choice})));
            for status in statuses {
                let (effect, has_asked) = send(&node, &route, NOW, reply.as_ref());
                assert!(has_asked);
                let line = audit(&effect);
                assert_eq!(line["quota_engine"], choice, "{reply:?}");
                let found = if let Effect::Answer(answer) = &effect { answer.status } else { 200 };
                assert_eq!(found, status, "{choice} {reply:?}: {line}");
                if status == 503 {
                    assert_eq!(line["reason"], "quota_engine");
                    let Effect::Answer(answer) = effect else { unreachable!() };
                    assert!(answer.headers.iter().any(|(name, _)| *name == "retry-after"));
                }
            }
        }
    }
}

#[test]
fn an_engine_that_fails_is_left_alone_and_then_tried_by_one_request() {
    let node = Node::new();
    let breaker = json!({"failures": 3, "open_seconds": 5});
    let route = node.route(&with_engine(&json!({"on_engine_error": "allow", "breaker": breaker})));
    let at = |seconds| NOW.after(Duration::from_secs(seconds));
    let asks = |seconds, reply: Option<Reply>| send(&node, &route, at(seconds), reply.as_ref()).1;
    assert_eq!([0, 0, 0, 0, 4].map(|seconds| asks(seconds, None)), [true, true, true, false, false]);
    assert_eq!([5, 6, 9].map(|seconds| asks(seconds, None)), [true, false, false]);
    assert_eq!([10, 10].map(|seconds| asks(seconds, counted(true, 1))), [true, true]);
    let counts = node.metrics.counts.borrow();
    let of = |result: &str| counts.get(&format!("engine_calls;result={result}")).copied();
    assert_eq!((of("failed"), of("open"), of("answered")), (Some(4), Some(4), Some(2)), "{counts:?}");
}

#[test]
fn what_was_admitted_beside_the_engine_is_told_by_a_tick() {
    let node = Node::new();
    let route = node.route(&with_engine(&json!({"sync_interval_ms": 1000})));
    forwarded(send(&node, &route, NOW, None).0);
    let later = NOW.after(Duration::from_secs(1));
    let call = node.tick(&route, later).unwrap();
    assert!(call.to.path.ends_with("/add/0/1/1/3600/2"), "{}", call.to.path);
    node.answer(later, counted(true, 1).as_ref());
    assert_eq!(node.tick(&route, later), None, "one call for what is owed");
}

#[test]
fn a_periodic_route_asks_once_and_then_goes_by_what_it_knows() {
    let node = Node::new();
    let route = node.route(&with_engine(&json!({"synchronise": "periodic"})));
    let (effect, has_asked) = send(&node, &route, NOW, counted(true, 1).as_ref());
    forwarded(effect);
    assert!(has_asked);
    let (effect, has_asked) = send(&node, &route, NOW, None);
    forwarded(effect);
    assert!(!has_asked);
    let (effect, has_asked) = send(&node, &route, NOW, None);
    assert_eq!((answered(effect).0, has_asked), (429, false), "the budget of two is used");
    let (effect, has_asked) = send(&node, &route, NOW.after(Duration::from_secs(3)), None);
    assert_eq!((answered(effect).0, has_asked), (429, false), "the engine knows of one, and would let another pass");
}

#[test]
fn a_periodic_route_asks_again_when_it_has_not_heard_of_the_counts_for_two_intervals() {
    let node = Node::new();
    let route = node.route(&with_engine(&json!({"synchronise": "periodic"})));
    for (seconds, reply) in [(0, counted(true, 1)), (3, counted(true, 2)), (6, counted(false, 2))] {
        let (_, has_asked) = send(&node, &route, NOW.after(Duration::from_secs(seconds)), reply.as_ref());
        assert!(has_asked, "after {seconds} s");
    }
}

#[test]
fn a_client_that_leaves_while_the_engine_is_asked_is_charged_nothing() {
    let node = Node::new();
    let route = node.route(&with_engine(&json!({"synchronise": "periodic"})));
    let request = get(Some(&token(json!({"groups": ["checkout"]}))));
    for _ in 0..5 {
        let (exchange, effect) = node.send(&route, &request);
        assert!(matches!(effect, Effect::Dispatch(_)));
        exchange.finished(&node.cx(NOW), None);
    }
    let statuses = [(); 3].map(|()| match send(&node, &route, NOW, None).0 {
        Effect::Answer(answer) => answer.status,
        _ => 200,
    });
    assert_eq!(statuses, [200, 200, 429]);
}
