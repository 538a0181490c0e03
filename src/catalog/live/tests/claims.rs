//! Who holds a service, from reading to reading.

use super::*;
use crate::catalog::Service;

/// What a worker's index says of the service `pay`, after a reading of APIs of these names that claim it.
fn claimed(worker: &Rc<LiveCatalog>, store: &dyn SharedData, now: UnixMillis, apis: &[&str]) -> (Service, Summary) {
    let items = apis.iter().map(
        |name| json!({"kind": "API", "metadata": {"name": name, "annotations": {"backstage-kong/service": "pay"}}}),
    );
    let mut pass = tick(worker, store, now).unwrap();
    for items in [vec![], items.collect()] {
        match pass.answered(store, now, Some(&ok(&json!({"items": items, "pageInfo": {}})))) {
            ReadProgress::Next(next) => pass = next,
            ReadProgress::Done(_, summary) => {
                let Availability::Fresh(index) = worker.availability(store, now, HOUR) else { panic!("unread") };
                return (index.service("pay"), summary.unwrap());
            }
        }
    }
    panic!("goes on")
}

#[test]
fn whichever_worker_reads_next_knows_who_held_a_service_before() {
    let api = |name| Service::Entity(EntityRef::new("api", "default", name).unwrap());
    // The node's workers share what they know; with shared data out of order each knows what it has read itself.
    let (shared, broken) = (MemoryStore::default(), BrokenStore);
    let (one, other, alone) = (live(), live(), live());
    for (readers, store) in [([&one, &other], &shared as &dyn SharedData), ([&alone, &alone], &broken)] {
        let [first, next] = readers;
        assert_eq!(claimed(first, store, NOW, &["payments"]).0, api("payments"));
        let (holder, summary) = claimed(next, store, at(60), &["aaa", "payments"]);
        assert_eq!((holder, summary.faults.len(), summary.changed), (api("payments"), 1, true));
        let (holder, summary) = claimed(first, store, at(120), &["aaa", "payments"]);
        assert_eq!((holder, summary.faults.len(), summary.changed), (api("payments"), 1, false));
        assert_eq!(claimed(next, store, at(180), &["aaa"]).0, api("aaa"), "it is free");
        assert_eq!(claimed(first, store, at(240), &["aaa", "payments"]).0, api("aaa"));
    }
    // A worker that is new to the node takes over what the node knows; a new node knows nothing.
    assert_eq!(claimed(&live(), &shared, at(300), &["aaa", "payments"]).0, api("aaa"));
    assert_eq!(claimed(&live(), &MemoryStore::default(), NOW, &["aaa", "payments"]).0, Service::Ambiguous);
}
