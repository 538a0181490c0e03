//! What floods may spend, and whom they keep out.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const LIMITS: Verification = Verification {
    worker: Allowance { per_second: 100, burst: 200 },
    address: Allowance { per_second: 10, burst: 20 },
};

fn at(millis: u64) -> UnixMillis {
    UnixMillis(1_750_000_000_000 + millis)
}

fn v4(last: u32) -> Option<Address> {
    Some(Address::V4(last))
}

/// A network of an IPv6 site.
fn v6(site: u64, network: u64) -> Option<Address> {
    Some(Address::V6(site << 16 | network))
}

fn ask(budget: &Budget, address: Option<Address>, now: UnixMillis) -> Result<(), BudgetExhausted> {
    budget.ask(address, Cost::P256, now)
}

/// Verifies a forged token, if the budget allows it.
fn forge(budget: &Budget, address: Option<Address>, now: UnixMillis) -> Result<(), BudgetExhausted> {
    ask(budget, address, now).inspect(|()| budget.failed(address, Cost::P256, now))
}

fn spent_by(outcome: Result<(), BudgetExhausted>) -> Option<BudgetOwner> {
    outcome.err().map(|spent| spent.by)
}

/// How many of a flood's tokens are looked at.
fn flood(budget: &Budget, addresses: impl Iterator<Item = Option<Address>>, now: UnixMillis) -> usize {
    addresses.filter(|address| forge(budget, *address, now).is_ok()).count()
}

#[test]
fn addresses_are_read_as_hosts_write_them() {
    let cases = [
        ("192.0.2.7", v4(0xc000_0207)),
        ("192.0.2.7:4711", v4(0xc000_0207)),
        ("::ffff:192.0.2.7", v4(0xc000_0207)),
        ("[::ffff:192.0.2.7]:4711", v4(0xc000_0207)),
        ("2001:db8:1:2:3:4:5:6", Some(Address::V6(0x2001_0db8_0001_0002))),
        ("[2001:db8:1:2::9]:4711", Some(Address::V6(0x2001_0db8_0001_0002))),
        ("2001:db8:1:3::9", Some(Address::V6(0x2001_0db8_0001_0003))),
        ("unix:/run/kong.sock", None),
        ("", None),
    ];
    for (text, address) in cases {
        assert_eq!(Address::parse(text), address, "{text}");
    }
}

#[test]
fn an_address_spends_its_share_and_no_other_one_is_touched() {
    let budget = Budget::new(LIMITS);
    assert_eq!(flood(&budget, std::iter::repeat_n(v4(1), 1000), at(0)), 20);
    let spent = BudgetExhausted { by: BudgetOwner::Address, retry_after: Duration::from_millis(100) };
    assert_eq!(ask(&budget, v4(1), at(0)), Err(spent));
    assert_eq!(ask(&budget, v4(2), at(0)), Ok(()));
    assert_eq!(ask(&budget, None, at(0)), Ok(()));
    assert_eq!(ask(&budget, v4(1), at(99)).map_err(|spent| spent.retry_after), Err(Duration::from_millis(1)));
    assert_eq!(ask(&budget, v4(1), at(100)), Ok(()));
    assert_eq!(flood(&budget, std::iter::repeat_n(v4(1), 1000), at(1_000)), 10, "ten a second from then on");
}

#[test]
fn good_tokens_spend_nothing() {
    let budget = Budget::new(LIMITS);
    for _ in 0..10_000 {
        assert_eq!(ask(&budget, v4(1), at(0)), Ok(()));
        budget.valid(v4(1), at(0));
    }
}

#[test]
fn a_flood_from_everywhere_is_bounded_and_known_addresses_get_through_it() {
    let budget = Budget::new(LIMITS);
    budget.valid(v4(7), at(0));
    let everywhere = |round: u32| (0..5_000).map(move |n| v4(1_000_000 + round * 5_000 + n));
    assert_eq!(flood(&budget, everywhere(0), at(0)), 200);
    let looked_at: usize = (1..=100).map(|round| flood(&budget, everywhere(round), at(u64::from(round) * 100))).sum();
    assert_eq!(looked_at, 1_000, "a hundred a second");
    let now = at(10_000);
    assert_eq!(spent_by(ask(&budget, v4(8), now)), Some(BudgetOwner::Worker));
    assert_eq!(spent_by(ask(&budget, None, now)), Some(BudgetOwner::Worker));
    assert_eq!(ask(&budget, v4(7), now), Ok(()));
    assert_eq!(flood(&budget, std::iter::repeat_n(v4(7), 1000), now), 20, "within its own share");
}

#[test]
fn a_good_address_is_one_for_a_day() {
    let budget = Budget::new(LIMITS);
    budget.valid(v4(7), at(0));
    let day = 24 * 60 * 60 * 1000;
    flood(&budget, (100..1_000).map(v4), at(day - 1));
    assert_eq!(ask(&budget, v4(7), at(day - 1)), Ok(()));
    flood(&budget, (100..1_000).map(v4), at(day));
    assert_eq!(spent_by(ask(&budget, v4(7), at(day))), Some(BudgetOwner::Worker));
}

#[test]
fn a_token_costs_what_its_signatures_do() {
    // Cost of a token, and how many are verified of what an address has at once.
    let cases = [
        (Cost::ED25519, 80),
        (Cost::rsa(2048), 40),
        (Cost::rsa(4096), 8),
        (Cost::P256, 20),
        (Cost::P384, 5),
        ([Cost::P256; 3].into_iter().sum(), 6),
        (Cost::MAX, 1),
        ([Cost::MAX; 5].into_iter().sum(), 1),
    ];
    for (cost, verified) in cases {
        let budget = Budget::new(LIMITS);
        let tries = (0..1000)
            .filter(|_| budget.ask(v4(1), cost, at(0)).inspect(|()| budget.failed(v4(1), cost, at(0))).is_ok());
        assert_eq!(tries.count(), verified, "{cost:?}");
    }
}

#[test]
fn who_has_spent_a_share_spends_no_more_of_the_workers() {
    let budget = Budget::new(LIMITS);
    for second in 0..100 {
        flood(&budget, std::iter::repeat_n(v4(1), 1000), at(second * 1000));
        flood(&budget, (0..1000).map(|n| v6(7, n)), at(second * 1000));
    }
    // 20 at once and 10 a second for the one, and four times as much for the other.
    assert!(budget.state.borrow().worker.owed <= u64::from(LIMITS.worker.burst) * 1000 / 2);
    assert_eq!(ask(&budget, v4(2), at(99_000)), Ok(()));
}

#[test]
fn a_site_has_the_shares_of_four_addresses_and_no_other_one_is_touched() {
    let budget = Budget::new(LIMITS);
    budget.valid(v6(7, 70_000 & 0xffff), at(0));
    assert_eq!(flood(&budget, (0..1000).map(|n| v6(7, n)), at(0)), 80);
    assert_eq!(spent_by(ask(&budget, v6(7, 2000), at(0))), Some(BudgetOwner::Address));
    assert_eq!(ask(&budget, v6(7, 70_000 & 0xffff), at(0)), Ok(()), "it has shown a good token");
    assert_eq!(ask(&budget, v6(8, 0), at(0)), Ok(()));
    assert_eq!(flood(&budget, (0..1000).map(|n| v6(7, n)), at(1000)), 40, "forty a second from then on");
}

#[test]
fn half_of_the_workers_allowance_is_kept_for_who_has_not_failed() {
    // Who floods, and how many of them in a second take all that they can get.
    type Flood = fn(u64) -> Option<Address>;
    let floods: [(&str, Flood); 3] = [
        ("a hundred addresses", |n| v4(1000 + u32::try_from(n % 100).unwrap())),
        ("twenty sites", |n| v6(n % 20, n)),
        ("the host tells no address", |_| None),
    ];
    for (name, address) in floods {
        let budget = Budget::new(LIMITS);
        let mut looked_at = 0;
        for second in 0..50 {
            looked_at += flood(&budget, (0..10_000).map(address), at(second * 1000));
            assert_eq!(ask(&budget, v4(1), at(second * 1000)), Ok(()), "{name} after {second} s");
        }
        assert_eq!(looked_at, 200 / 2 + 49 * 100, "{name}: what the worker grants");
    }
}

#[test]
fn who_has_not_failed_for_a_minute_goes_first() {
    let budget = Budget::new(LIMITS);
    assert_eq!(forge(&budget, v4(1), at(0)), Ok(()));
    for (millis, served) in [(59_999, false), (60_000, true)] {
        budget.state.borrow_mut().worker = Debt { owed: 100_000, at: at(millis) };
        assert_eq!(ask(&budget, v4(1), at(millis)).is_ok(), served, "{millis}");
    }
}

#[test]
fn a_clock_that_steps_back_locks_nobody_out_for_long() {
    let budget = Budget::new(LIMITS);
    flood(&budget, std::iter::repeat_n(v4(1), 1000), at(3_600_000));
    assert!(ask(&budget, v4(1), at(0)).is_err());
    assert_eq!(ask(&budget, v4(1), at(100)), Ok(()));
}

#[test]
fn memory_is_bounded_whoever_comes() {
    let budget = Budget::new(LIMITS);
    for n in 0..20_000 {
        budget.failed(v6(n, n), Cost::P256, at(n));
        budget.valid(v6(n, n), at(n));
    }
    let state = budget.state.borrow();
    let sizes = [state.addresses.table.len(), state.sites.table.len(), state.good.len()];
    assert_eq!(sizes, [MAX_ADDRESSES; 3]);
}

#[test]
fn routes_with_the_same_settings_share_a_budget_while_there_are_any() {
    let budgets = Budgets::default();
    let budget = budgets.get(LIMITS);
    let other = Verification { worker: Allowance { per_second: 1, burst: 1 }, ..LIMITS };
    assert!(Rc::ptr_eq(&budget, &budgets.get(LIMITS)));
    assert!(!Rc::ptr_eq(&budget, &budgets.get(other)));
    drop(budget);
    budgets.get(other);
    assert_eq!(budgets.0.len(), 1);
}

proptest! {
    /// Whatever comes from wherever and whenever, what is looked at stays within the allowances.
    #[test]
    fn no_flood_passes_the_allowances(
        events in prop::collection::vec((0..6u64, 0..200u64, 1..20u32), 1..400),
        per_second in 1..50u32, burst in 5..30u32, share in 5..20u32,
    ) {
        let limits = Verification {
            worker: Allowance { per_second, burst },
            address: Allowance { per_second: share, burst: share },
        };
        let (budget, mut now) = (Budget::new(limits), 0);
        let mut spent = BTreeMap::<u64, u64>::new();
        for (network, pause, quarters) in events {
            now += pause;
            let cost = std::iter::repeat_n(Cost::ED25519, quarters as usize).sum::<Cost>();
            if budget.ask(v6(1, network), cost, at(now)).is_ok() {
                budget.failed(v6(1, network), cost, at(now));
                *spent.entry(network).or_default() += cost.thousandths();
            }
            let most = |allowance: Allowance, shares: u64| {
                shares * (u64::from(allowance.burst) * 1000 + now * u64::from(allowance.per_second))
            };
            let all = spent.values().sum::<u64>();
            // A token may cost more than the half of the allowance that is there for it.
            prop_assert!(all <= most(limits.worker, 1).max(5000 + now * u64::from(per_second)));
            prop_assert!(all <= most(limits.address, 4));
            prop_assert!(spent.values().all(|spent| *spent <= most(limits.address, 1)));
        }
    }
}
