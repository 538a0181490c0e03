use super::place::find;
use super::*;
use crate::host::{BrokenStore, FaultyStore, MemoryStore};
use crate::record::seal;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::json;

const KEY: &str = "zone/record";
const SPAN: Duration = Duration::from_secs(3);

/// A record that counts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Counter {
    count: u64,
    left: u64,
    until: u64,
    number: u64,
}

impl Record for Counter {
    const FORMAT: u32 = 5;

    fn lease_state(&self) -> LeaseState {
        LeaseState { until: self.until, number: self.number }
    }

    fn set_lease_state(&mut self, state: LeaseState) {
        (self.until, self.number) = (state.until, state.number);
    }

    fn note_left(&mut self, _: UnixMillis) {
        self.left += 1;
    }

    /// A thousand is more than it counts to.
    fn adopt(self, _: &Self, _: UnixMillis) -> Option<Self> {
        (self.count < 1000).then_some(self)
    }
}

fn worker() -> SharedRecord<Counter> {
    SharedRecord::new(KEY.to_owned())
}

fn at(seconds: u64) -> UnixMillis {
    UnixMillis((1_000_000 + seconds) * 1000)
}

/// A record as a version with this format writes it, with a member that only that version has.
fn record(format: u32, count: &serde_json::Value) -> Vec<u8> {
    seal(KEY, format!("{{\"format\":{format},\"count\":{count},\"theirs\":true}}").as_bytes())
}

/// Takes the lease as a worker of many does.
fn won(worker: &SharedRecord<Counter>, store: &dyn SharedData, now: UnixMillis) -> Option<Lease> {
    match worker.lead(store, now, SPAN, &mut |_| {}) {
        Lead::Won(lease) => Some(lease),
        Lead::Alone(_) => panic!("shared data fails"),
        Lead::Taken => None,
    }
}

/// Counts one up.
fn count(worker: &SharedRecord<Counter>, store: &dyn SharedData, now: UnixMillis) {
    let lease = won(worker, store, now).unwrap();
    worker.settle(store, now, Some(lease), &mut |record| record.count += 1);
}

#[test]
fn one_worker_leads_at_a_time_and_all_see_what_comes_of_it() {
    let (store, one, other) = (MemoryStore::default(), worker(), worker());
    assert_eq!(one.look(&store, at(0)), Look::Absent);
    let lease = won(&one, &store, at(0)).unwrap();
    assert!(won(&other, &store, at(0)).is_none() && won(&one, &store, at(0)).is_none());
    one.settle(&store, at(1), Some(lease), &mut |record| record.count = 7);
    assert_eq!((other.look(&store, at(1)), other.copy().count), (Look::Found, 7));
    assert_eq!(other.look(&store, at(1)), Look::Recent);
    count(&other, &store, at(1));
    assert_eq!((one.look(&store, at(2)), one.copy().count), (Look::Found, 8));
    assert_eq!((one.take_faults(), other.take_faults()), (0, 0));
}

#[test]
fn a_lease_lasts_for_as_long_as_it_is_renewed() {
    let (store, one, other) = (MemoryStore::default(), worker(), worker());
    let lease = won(&one, &store, at(0)).unwrap();
    assert!(one.renew(&store, at(2), &lease, SPAN));
    assert!(won(&other, &store, at(4)).is_none());
    let others = won(&other, &store, at(5)).unwrap();
    assert!(!one.renew(&store, at(6), &lease, SPAN), "another has it by now");
    one.release(&store, at(6), lease, &mut |_| {});
    assert!(other.renew(&store, at(6), &others, SPAN), "and it is not given back for that one");
}

#[test]
fn a_lease_that_is_given_back_is_free_at_once() {
    type GiveBack = fn(&SharedRecord<Counter>, &dyn SharedData, Lease);
    let ways: [(&str, GiveBack); 3] = [
        ("released", |one, store, lease| one.release(store, at(0), lease, &mut |record| record.left += 1)),
        ("left", |one, store, lease| one.leave(store, at(0), lease)),
        ("dropped, and its worker looks", |one, store, lease| {
            drop(lease);
            one.look(store, at(0));
        }),
    ];
    for (way, give_back) in ways {
        let (store, one, other) = (MemoryStore::default(), worker(), worker());
        let lease = won(&one, &store, at(0)).unwrap();
        give_back(&one, &store, lease);
        assert!(one.is_left(), "{way}");
        let lease = won(&other, &store, at(0));
        assert!(lease.is_some(), "{way}");
        assert_eq!(other.copy().left, 1, "{way}");
        one.look_now(&store, at(0));
        assert!(won(&one, &store, at(0)).is_none(), "{way}: it is not given back twice");
    }
}

#[test]
fn a_lease_that_was_dropped_and_is_anothers_by_now_stays_so() {
    let (store, one, other) = (MemoryStore::default(), worker(), worker());
    drop(won(&one, &store, at(0)));
    let _others = won(&other, &store, at(4)).unwrap();
    one.look(&store, at(5));
    assert!(won(&one, &store, at(5)).is_none());
    assert!(!one.is_left());
}

#[test]
fn what_is_no_record_is_told_and_replaced_by_the_next_write() {
    let newer = |mut sealed: Vec<u8>| {
        sealed[2] += 1;
        sealed
    };
    let broken = |mut sealed: Vec<u8>| {
        sealed[20] ^= 1;
        sealed
    };
    let cases = [
        ("nothing of ours", b"garbage".to_vec()),
        ("an envelope of another version", newer(record(5, &json!(3)))),
        ("a record whose bytes changed", broken(record(5, &json!(3)))),
        ("a part of a record", record(5, &json!(3))[..30].to_vec()),
        ("no JSON", seal(KEY, b"{\"format\":5,\"count\":")),
        ("nothing in an envelope", seal(KEY, b"")),
        ("a member of another type", record(5, &json!("many"))),
        ("a record that cannot be used", record(5, &json!(1000))),
        ("a newer format", record(6, &json!(3))),
        ("a format from before the last one", record(3, &json!(3))),
        ("the first format, which said none", seal(KEY, b"{\"count\":3}")),
        ("a format that is no number", seal(KEY, b"{\"format\":\"5\",\"count\":3}")),
    ];
    for (what, bytes) in cases {
        let (store, one, other) = (FaultyStore::default(), worker(), worker());
        store.plant(KEY, &bytes);
        assert_eq!(one.look(&store, at(0)), Look::Damaged, "{what}");
        assert!(one.take_faults() > 0, "{what}");
        count(&one, &store, at(0));
        assert_eq!((other.look(&store, at(0)), other.copy().count), (Look::Found, 1), "{what}");
        // It goes bad while workers have it: they go on by their copies.
        store.plant(KEY, &bytes);
        assert_eq!((one.look(&store, at(1)), one.copy().count), (Look::Damaged, 1), "{what}");
        count(&one, &store, at(1));
        assert_eq!((other.look(&store, at(1)), other.copy().count), (Look::Found, 2), "{what}");
    }
}

#[test]
fn what_the_version_before_wrote_is_read() {
    for format in [4, 5] {
        let (store, one) = (FaultyStore::default(), worker());
        store.plant(KEY, &record(format, &json!(3)));
        assert_eq!((one.look(&store, at(0)), one.copy().count), (Look::Found, 3));
    }
    assert_eq!(format::read::<Counter>(2, b"{\"count\":3}").unwrap().count, 3, "no number is the first");
}

#[test]
fn a_read_that_comes_out_torn_is_made_again_a_few_times() {
    for (torn, look) in [(1, Look::Found), (2, Look::Found), (3, Look::Damaged)] {
        let (store, one, other) = (FaultyStore::default(), worker(), worker());
        count(&one, &store, at(0));
        store.torn.set(torn);
        assert_eq!(other.look(&store, at(0)), look, "{torn}");
        assert_eq!(other.look(&store, at(1)), Look::Found, "{torn}");
    }
}

#[test]
fn whoever_loses_to_other_writers_decides_anew_and_gives_way_in_the_end() {
    for (overtaken, wins) in [(1, true), (3, true), (4, false)] {
        let (store, one) = (FaultyStore::default(), worker());
        count(&one, &store, at(0));
        store.overtaken.set(overtaken);
        assert_eq!(won(&one, &store, at(0)).is_some(), wins, "{overtaken}");
    }
    // What a worker has found out it keeps all the same.
    let (store, one) = (FaultyStore::default(), worker());
    let lease = won(&one, &store, at(0));
    store.overtaken.set(4);
    one.settle(&store, at(0), lease, &mut |record| record.count = 7);
    assert_eq!((one.copy().count, one.copy().until), (7, 0));
}

#[test]
fn without_shared_data_each_worker_is_left_to_itself() {
    let workers = [worker(), worker()];
    for worker in &workers {
        assert_eq!(worker.look(&BrokenStore, at(0)), Look::Failed);
        let Lead::Alone(lease) = worker.lead(&BrokenStore, at(0), SPAN, &mut |_| {}) else { panic!("not alone") };
        assert!(matches!(worker.lead(&BrokenStore, at(1), SPAN, &mut |_| {}), Lead::Taken));
        worker.settle(&BrokenStore, at(1), Some(lease), &mut |record| record.count += 1);
        assert_eq!(worker.copy().count, 1);
        assert!(worker.take_faults() > 0);
    }
}

#[test]
fn an_evicted_record_is_written_again_from_a_copy() {
    let (store, one, other) = (MemoryStore::default(), worker(), worker());
    count(&one, &store, at(0));
    store.evict(KEY);
    assert_eq!((one.look(&store, at(1)), one.copy().count), (Look::Absent, 1));
    count(&one, &store, at(1));
    assert_eq!((other.look(&store, at(1)), other.copy().count), (Look::Found, 2));
}

#[test]
fn a_record_made_again_under_the_version_of_the_one_before_is_seen() {
    let (store, one, other) = (MemoryStore::default(), worker(), worker());
    let lease = won(&one, &store, at(0));
    other.look(&store, at(0));
    store.evict(KEY);
    one.settle(&store, at(0), lease, &mut |record| record.count = 7);
    assert_eq!(store.get(KEY).unwrap().unwrap().version, 1, "as Kong counts");
    assert_eq!((other.look(&store, at(1)), other.copy().count), (Look::Found, 7));
}

#[test]
fn keys_of_one_checksum_do_not_disturb_each_other_up_to_four() {
    let store = FaultyStore::default();
    store.plant(KEY, &seal("zone/other", b"another's"));
    let (one, another) = (worker(), worker());
    count(&one, &store, at(0));
    assert_eq!((another.look(&store, at(0)), another.copy().count), (Look::Found, 1));
    assert!(find(&store, "zone/record", &mut |_, _| true).is_ok());
    let whole = store.store.get(KEY).unwrap().unwrap().bytes;
    assert_eq!(whole, seal("zone/other", b"another's"));
    // The other goes away, and the record stays where it is.
    store.store.evict(KEY);
    count(&another, &store, at(1));
    assert_eq!((one.look(&store, at(1)), one.copy().count), (Look::Found, 2));
    // Others hold all places.
    for place in ["", "#1", "#2", "#3"] {
        store.plant(&format!("{KEY}{place}"), &seal("zone/other", b"another's"));
    }
    assert_eq!(one.look(&store, at(2)), Look::Failed);
    assert!(matches!(one.lead(&store, at(2), SPAN, &mut |_| {}), Lead::Alone(_)));
}

proptest! {
    #[test]
    fn whatever_lies_under_the_key_a_worker_leads_and_the_others_see_it(bytes: Vec<u8>, is_sealed: bool) {
        let (store, one, other) = (FaultyStore::default(), worker(), worker());
        store.plant(KEY, &if is_sealed { seal(KEY, &bytes) } else { bytes });
        one.look(&store, at(0));
        count(&one, &store, at(0));
        prop_assert_eq!(other.look(&store, at(0)), Look::Found);
        prop_assert_eq!(other.copy().count, 1);
    }

    #[test]
    fn a_changed_byte_makes_no_other_record(at_byte: proptest::sample::Index, bits in 1_u8..) {
        let (store, one, other) = (FaultyStore::default(), worker(), worker());
        count(&one, &store, at(0));
        let mut bytes = store.store.get(KEY).unwrap().unwrap().bytes;
        let index = at_byte.index(bytes.len());
        bytes[index] ^= bits;
        store.plant(KEY, &bytes);
        prop_assert_ne!(other.look(&store, at(0)), Look::Found);
        prop_assert_eq!(&*other.copy(), &Counter::default());
        count(&one, &store, at(1));
        prop_assert_eq!((other.look(&store, at(1)), other.copy().count), (Look::Found, 2));
    }

    #[test]
    fn no_two_workers_lead_at_a_time(steps in proptest::collection::vec((0..3_usize, 0..5_u8, 0..2500_u64), 1..80)) {
        let (store, workers) = (MemoryStore::default(), [worker(), worker(), worker()]);
        let (mut leases, mut now) = ([const { None::<(Lease, UnixMillis)> }; 3], at(0));
        for (index, step, millis) in steps {
            now = now.after(Duration::from_millis(millis));
            let worker = &workers[index];
            match (step, leases[index].take()) {
                (0, None) => {
                    if let Some(lease) = won(worker, &store, now) {
                        prop_assert!(!leases.iter().flatten().any(|(_, until)| *until > now));
                        leases[index] = Some((lease, now.after(SPAN)));
                    }
                }
                (1, Some((lease, _))) => {
                    let is_kept = worker.renew(&store, now, &lease, SPAN);
                    leases[index] = is_kept.then(|| (lease, now.after(SPAN)));
                }
                (2, Some((lease, _))) => {
                    // It ends the lease, whoever has it.
                    worker.settle(&store, now, Some(lease), &mut |record| record.count += 1);
                    leases.iter_mut().flatten().for_each(|(_, until)| *until = now);
                }
                (3, Some((lease, _))) => drop(lease),
                (_, lease) => {
                    worker.look(&store, now);
                    leases[index] = lease;
                }
            }
        }
    }

    #[test]
    fn records_of_one_checksum_keep_their_counts(steps in proptest::collection::vec((0..2_usize, 0..2_usize, 0..8_u8), 1..60)) {
        let store = FaultyStore::default();
        store.collide("zone/one", "zone/two");
        let workers = ["zone/one", "zone/two"].map(|key| [0, 1].map(|_| SharedRecord::<Counter>::new(key.to_owned())));
        let mut counts = [0, 0];
        for (second, (key, worker, evicted)) in steps.into_iter().enumerate() {
            let now = at(u64::try_from(second).unwrap());
            if evicted < 2 {
                store.store.evict(["zone/one", "zone/one#1"][usize::from(evicted)]);
                // What is evicted lives on in the copies of those who have it.
                for workers in &workers {
                    workers.iter().for_each(|worker| { worker.look_now(&store, now); });
                }
            }
            count(&workers[key][worker], &store, now);
            counts[key] += 1;
            for (workers, count) in workers.iter().zip(counts) {
                for worker in workers {
                    worker.look_now(&store, now);
                    prop_assert_eq!(worker.copy().count, count);
                }
            }
        }
    }
}
