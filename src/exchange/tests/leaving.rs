//! Requests whose clients leave while something is fetched for them.

use super::catalog::{backstage, config as catalog_config, groups};
use super::providers::{ok, with_remote_keys};
use super::*;
use std::time::Duration;

type End = fn(Exchange, &Context<'_>);

/// How a request can end before it is answered.
const WAYS: [(&str, End); 3] = [
    ("logged", |exchange, cx| exchange.finished(cx, None)),
    ("gone", |exchange, cx| exchange.gone(cx)),
    ("dropped", |exchange, _| drop(exchange)),
];

fn after(millis: u64) -> UnixMillis {
    NOW.after(Duration::from_millis(millis))
}

#[test]
fn clients_that_come_and_go_do_not_keep_ticks_from_reading_the_catalog() {
    for (way, end) in WAYS {
        let (node, backstage) = (Node::new(), backstage());
        let route = node.route(&catalog_config(json!({"entity": "api:default/payments"})));
        let sent = get(Some(&groups(&["payments"])));
        let (mut waiting, mut began, mut read) = (None, 0, None);
        for millis in (0..60_000).step_by(50) {
            let now = after(millis);
            if millis % 100 == 0 {
                waiting.take().into_iter().for_each(|exchange| end(exchange, &node.cx(now)));
                match node.send_at(&route, now, &sent) {
                    (exchange, Effect::Dispatch(_)) => {
                        began += 1;
                        waiting = Some(exchange);
                    }
                    (_, Effect::Answer(answer)) => assert_eq!(answer.status, 503, "{way}"),
                    (_, effect) => {
                        forwarded(effect);
                        read.get_or_insert(millis);
                    }
                }
            }
            // Backstage answers before the next tick.
            if let Some(call) = node.tick(&route, now) {
                node.answer(now, Some(&backstage.reply(&call)));
            }
        }
        assert!(read.is_some_and(|millis| millis <= 1000), "{way}: read after {read:?} ms");
        assert_eq!(began, 1, "{way}: ticks come first");
    }
}

#[test]
fn where_ticks_do_not_get_through_requests_read_again_after_a_while() {
    let (node, backstage) = (Node::new(), backstage());
    let route = node.route(&catalog_config(json!({"entity": "api:default/payments"})));
    let sent = get(Some(&groups(&["payments"])));
    node.send_at(&route, NOW, &sent).0.gone(&node.cx(NOW));
    assert_eq!(answered(node.send_at(&route, after(4_900), &sent).1).0, 503);
    let begun = node.send_at(&route, after(5_000), &sent);
    forwarded(backstage.serve(begun, &node.cx(after(5_000)), &sent).1);
}

#[test]
fn keys_that_a_client_who_left_had_asked_for_are_fetched_by_the_next_tick() {
    for (way, end) in WAYS {
        for had in [None, Some(testing::other_jwks())] {
            let node = Node::new();
            let route = node.route(&with_remote_keys());
            if let Some(had) = had {
                node.tick(&route, NOW).unwrap();
                node.answer(NOW, Some(&ok(had)));
            }
            let sent = get(Some(&token(json!({"groups": ["payments"]}))));
            let (exchange, effect) = node.send_at(&route, after(1_200), &sent);
            assert!(matches!(effect, Effect::Dispatch(_)), "{way}");
            end(exchange, &node.cx(after(1_200)));
            if had.is_some() {
                let (status, _) = answered(node.send_at(&route, after(1_220), &sent).1);
                assert_eq!(status, 503, "{way}: whether the provider has the key is not known yet");
            }
            assert!(node.tick(&route, after(1_250)).is_some(), "{way}");
            node.answer(after(1_260), Some(&ok(testing::jwks())));
            forwarded(node.send_at(&route, after(1_270), &sent).1);
        }
    }
}
