//! Questions and pushes of a node's workers, answered in any order, late, or not at all.

use super::*;
use proptest::prelude::*;

const WORKERS: usize = 3;
const GROUPS: [&str; 2] = ["group:default/a", "group:default/b"];
/// How long units stay in flight at least.
const LOST_AFTER: Duration = Duration::from_secs(10);

/// What happens next. Numbers choose among what is under way.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// A request comes to a worker, of a group, that costs one or five.
    Request(usize, usize, bool),
    /// A worker ticks.
    Tick(usize),
    /// A call arrives at the engine.
    Arrive(usize),
    /// Its answer arrives at the worker, or the worker gives up waiting.
    Answer(usize),
    /// A call fails at the worker, whether or not it has arrived at the engine.
    Fail(usize),
    /// A client is gone, or a worker dies, and nobody waits for an answer any more.
    Die(usize),
    /// So many milliseconds pass.
    Wait(u64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        12 => (0..WORKERS, 0..GROUPS.len(), any::<bool>()).prop_map(|(worker, group, dear)| Event::Request(worker, group, dear)),
        3 => (0..WORKERS).prop_map(Event::Tick),
        6 => any::<usize>().prop_map(Event::Arrive),
        6 => any::<usize>().prop_map(Event::Answer),
        1 => any::<usize>().prop_map(Event::Fail),
        1 => any::<usize>().prop_map(Event::Die),
        3 => prop_oneof![0..3u64, 0..1500u64].prop_map(Event::Wait),
    ];
    proptest::collection::vec(event, 1..250)
}

/// What a worker waits for.
enum Waits {
    Request(Bill, Ask),
    Push(Box<Push>),
}

/// A call under way.
struct Call {
    worker: usize,
    waits: Waits,
    path: String,
    /// The engine's answer, once the call has arrived.
    reply: Option<Reply>,
    since: UnixMillis,
    /// Units, by group.
    units: [u32; 2],
}

struct World {
    redis: Redis,
    quotas: Quotas,
    store: MemoryStore,
    workers: Vec<Rc<EngineState>>,
    calls: Vec<Call>,
    now: UnixMillis,
    admitted: [u32; 2],
    /// Units that the engine may count though nobody was admitted, or twice.
    in_doubt: [u32; 2],
}

impl World {
    fn new(of_group: u32, of_all: u32) -> Self {
        let mut quotas = quotas(&[(of_group, 3600)]);
        quotas.policies[1].windows = vec![Window { limit: of_all, length: Duration::from_secs(3600) }];
        let workers = (0..WORKERS).map(|_| Engines::default().get(&settings(Synchronise::Periodic))).collect();
        let (store, redis) = (MemoryStore::default(), Redis::new());
        Self { redis, quotas, store, workers, calls: Vec::new(), now: NOW, admitted: [0; 2], in_doubt: [0; 2] }
    }

    fn bill(&self, group: usize, method: &str) -> Bill {
        let (api, group) = (entity("api:default/payments"), entity(GROUPS[group]));
        let tiers = crate::quota::Tiers::default();
        let subjects = Subjects { entity: &api, group: Some(&group), principal: None, tiers };
        Bill::new(&self.quotas, "zone", &subjects, method, || KeySecret::obtain(&self.store, "zone")).unwrap()
    }

    fn group(bill: &Bill) -> usize {
        GROUPS.iter().position(|group| bill.lines[0].key.ends_with(group)).unwrap()
    }

    fn charged(&mut self, bill: &Bill, charge: &Charge) {
        if matches!(charge, Charge::Charged(_)) {
            self.admitted[Self::group(bill)] += bill.lines[0].units;
        }
    }

    fn send(&mut self, worker: usize, waits: Waits, since: UnixMillis) {
        let (path, lines) = match &waits {
            Waits::Request(bill, ask) => (self.workers[worker].asked(ask, self.now).to.path, &bill.lines),
            Waits::Push(push) => (push.call(self.now).to.path, &push.bill.lines),
        };
        let of = |group: &str| lines.iter().filter(|line| line.key.ends_with(group)).map(|line| line.units).sum();
        let units = GROUPS.map(of);
        self.calls.push(Call { worker, waits, path, reply: None, since, units });
    }

    fn request(&mut self, worker: usize, group: usize, method: &str) {
        let (bill, state) = (self.bill(group, method), self.workers[worker].clone());
        match state.begin(&bill, &self.store, self.now) {
            Begun::Charged(charge) => self.charged(&bill, &charge),
            Begun::Ask(ask) => self.send(worker, Waits::Request(bill, ask), self.now),
            Begun::Unasked => {
                let charge = state.charge_alone(&bill, &Claims::default(), &self.store, self.now);
                self.charged(&bill, &charge);
            }
        }
    }

    fn tick(&mut self, worker: usize) {
        let waits = |call: &Call| call.worker == worker && matches!(call.waits, Waits::Push(_));
        if !self.calls.iter().any(waits)
            && let Some(push) = self.workers[worker].next_push(&self.store, self.now)
        {
            self.send(worker, Waits::Push(Box::new(push)), self.now);
        }
    }

    fn arrive(&mut self, call: usize) {
        if self.calls[call].reply.is_none() {
            self.calls[call].reply = self.redis.answer(&self.calls[call].path, self.now);
        }
    }

    /// A worker hears of a call, with the answer or without.
    fn hear(&mut self, call: usize, has_answer: bool) {
        let Call { worker, waits, reply, since, units, .. } = self.calls.swap_remove(call);
        // What the engine has done and could not say, and what was given up before it was answered, may count twice.
        if reply.is_some() && (!has_answer || self.now.since(since) >= LOST_AFTER) {
            self.doubt(units);
        }
        let (state, reply) = (self.workers[worker].clone(), reply.filter(|_| has_answer));
        match waits {
            Waits::Request(bill, ask) => match state.answered(&bill, ask, &self.store, self.now, reply.as_ref()) {
                Answered::Ask(ask) => self.send(worker, Waits::Request(bill, ask), since),
                Answered::Charged(charge) => self.charged(&bill, &charge),
                Answered::Failed(_, claims) => {
                    let charge = state.charge_alone(&bill, &claims, &self.store, self.now);
                    self.charged(&bill, &charge);
                }
            },
            Waits::Push(push) => {
                if let Pushed::Next(push) = push.answered(&self.store, self.now, reply.as_ref()) {
                    self.send(worker, Waits::Push(Box::new(push)), since);
                }
            }
        }
    }

    fn doubt(&mut self, units: [u32; 2]) {
        for (in_doubt, units) in self.in_doubt.iter_mut().zip(units) {
            *in_doubt += units;
        }
    }

    fn happen(&mut self, event: Event) {
        let some = |nth: usize, calls: &[Call]| (!calls.is_empty()).then(|| nth % calls.len());
        match event {
            Event::Request(worker, group, dear) => self.request(worker, group, if dear { "POST" } else { "GET" }),
            Event::Tick(worker) => self.tick(worker),
            Event::Wait(millis) => self.now = UnixMillis(self.now.0 + millis),
            Event::Arrive(nth) => some(nth, &self.calls).into_iter().for_each(|call| self.arrive(call)),
            Event::Answer(nth) => some(nth, &self.calls).into_iter().for_each(|call| self.hear(call, true)),
            Event::Fail(nth) => some(nth, &self.calls).into_iter().for_each(|call| self.hear(call, false)),
            Event::Die(nth) => {
                if let Some(call) = some(nth, &self.calls) {
                    let Call { units, reply, .. } = self.calls.swap_remove(call);
                    if reply.is_some() {
                        self.doubt(units);
                    }
                }
            }
        }
    }

    /// Everything arrives and is answered, and pushes go on until what was lost has been told.
    fn settle(&mut self) {
        for _ in 0..50 {
            while !self.calls.is_empty() {
                self.arrive(0);
                self.hear(0, true);
            }
            self.now = self.now.after(Duration::from_secs(1));
            (0..WORKERS).for_each(|worker| self.tick(worker));
        }
    }

    /// What the engine counts for each group, and for all.
    fn counted(&self) -> ([u32; 2], u32) {
        let count = |bill: &Bill, line: usize| self.redis.count(&bill.lines[line].shared, 3600);
        let bills = [0, 1].map(|group| self.bill(group, "GET"));
        (bills.each_ref().map(|bill| count(bill, 0)), count(&bills[0], 1))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn one_node_never_admits_more_than_the_limit_and_its_counts_are_right_in_the_end(
        of_group in 1..40u32, of_all in 1..60u32, events in events()
    ) {
        let mut world = World::new(of_group, of_all);
        for event in events {
            world.happen(event);
            prop_assert!(world.admitted.iter().all(|units| *units <= of_group), "{:?}", world.admitted);
            prop_assert!(world.admitted.iter().sum::<u32>() <= of_all, "{:?}", world.admitted);
        }
        world.settle();
        let (counted, of_both) = world.counted();
        let World { admitted, in_doubt, .. } = world;
        for (counted, (admitted, in_doubt)) in counted.iter().zip(admitted.iter().zip(&in_doubt)) {
            prop_assert!((*admitted..=admitted + in_doubt).contains(counted), "{counted} for {admitted} and {in_doubt}");
        }
        prop_assert!(of_both >= admitted.iter().sum::<u32>(), "{of_both} for {admitted:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn several_nodes_pass_a_budget_by_no_more_than_is_said(
        requests in proptest::collection::vec((0..400u64, 0..3usize), 1..300)
    ) {
        let quotas = quotas(&[(30, 3600)]);
        let (redis, nodes) = (Redis::new(), [Node::periodic(), Node::periodic(), Node::periodic()]);
        let (mut now, mut ticked, mut admitted) = (NOW, NOW, 0_u64);
        for (pause, node) in requests {
            now = UnixMillis(now.0 + pause);
            while now.since(ticked) >= Duration::from_secs(1) {
                ticked = ticked.after(Duration::from_secs(1));
                nodes.iter().for_each(|node| { node.push(Some(&redis), ticked); });
            }
            let bill = nodes[node].bill(&quotas, "group:default/a", "GET");
            admitted += u64::from(nodes[node].admits(Some(&redis), &bill, now));
        }
        prop_assert!(admitted <= 30 + 2 * 30, "{admitted}");
    }
}
