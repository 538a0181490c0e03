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

/// Verifies a token that does not hold, if it is looked at.
fn forge(budget: &Budget, address: Option<Address>, now: UnixMillis) -> Result<(), Spent> {
    budget.ask(address, now).inspect(|()| budget.failed(address, Cost::P256, now))
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
    let spent = Spent { by: Spender::Address, retry_after: Duration::from_millis(100) };
    assert_eq!(budget.ask(v4(1), at(0)), Err(spent));
    assert_eq!(budget.ask(v4(2), at(0)), Ok(()));
    assert_eq!(budget.ask(None, at(0)), Ok(()));
    assert_eq!(budget.ask(v4(1), at(99)).map_err(|spent| spent.retry_after), Err(Duration::from_millis(1)));
    assert_eq!(budget.ask(v4(1), at(100)), Ok(()));
    assert_eq!(flood(&budget, std::iter::repeat_n(v4(1), 1000), at(1_000)), 10, "ten a second from then on");
}

#[test]
fn tokens_that_hold_spend_nothing() {
    let budget = Budget::new(LIMITS);
    for _ in 0..10_000 {
        assert_eq!(budget.ask(v4(1), at(0)), Ok(()));
        budget.held(v4(1), at(0));
    }
}

#[test]
fn a_flood_from_everywhere_is_bounded_and_known_addresses_get_through_it() {
    let budget = Budget::new(LIMITS);
    budget.held(v4(7), at(0));
    let everywhere = |round: u32| (0..5_000).map(move |n| v4(1_000_000 + round * 5_000 + n));
    assert_eq!(flood(&budget, everywhere(0), at(0)), 200);
    let looked_at: usize = (1..=100).map(|round| flood(&budget, everywhere(round), at(u64::from(round) * 100))).sum();
    assert_eq!(looked_at, 1_000, "a hundred a second");
    let now = at(10_000);
    assert_eq!(budget.ask(v4(8), now).map_err(|spent| spent.by), Err(Spender::Worker));
    assert_eq!(budget.ask(None, now).map_err(|spent| spent.by), Err(Spender::Worker));
    assert_eq!(budget.ask(v4(7), now), Ok(()));
    assert_eq!(flood(&budget, std::iter::repeat_n(v4(7), 1000), now), 20, "within its own share");
}

#[test]
fn a_good_address_is_one_for_a_day() {
    let budget = Budget::new(LIMITS);
    budget.held(v4(7), at(0));
    let day = 24 * 60 * 60 * 1000;
    flood(&budget, (100..1_000).map(v4), at(day - 1));
    assert_eq!(budget.ask(v4(7), at(day - 1)), Ok(()));
    flood(&budget, (100..1_000).map(v4), at(day));
    assert_eq!(budget.ask(v4(7), at(day)).map_err(|spent| spent.by), Err(Spender::Worker));
}

#[test]
fn a_token_that_several_keys_were_tried_for_costs_as_many_signatures() {
    let budget = Budget::new(LIMITS);
    let tries = (0..100).filter(|_| {
        budget.ask(v4(1), at(0)).is_ok_and(|()| {
            budget.failed(v4(1), [Cost::P256; 4].into_iter().sum(), at(0));
            true
        })
    });
    assert_eq!(tries.count(), 5);
}

#[test]
fn a_clock_that_steps_back_locks_nobody_out_for_long() {
    let budget = Budget::new(LIMITS);
    flood(&budget, std::iter::repeat_n(v4(1), 1000), at(3_600_000));
    assert!(budget.ask(v4(1), at(0)).is_err());
    assert_eq!(budget.ask(v4(1), at(100)), Ok(()));
}

#[test]
fn memory_is_bounded_whoever_comes() {
    let budget = Budget::new(LIMITS);
    for n in 0..20_000 {
        budget.failed(Some(Address::V6(n)), Cost::P256, at(n));
        budget.held(Some(Address::V6(n)), at(n));
    }
    let state = budget.state.borrow();
    assert_eq!((state.failing.len(), state.good.len()), (MAX_ADDRESSES, MAX_ADDRESSES));
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
        events in prop::collection::vec((0..4u32, 0..200u64, 1..21usize), 1..400),
        per_second in 1..50u32, burst in 1..30u32, share in 1..20u32,
    ) {
        let limits = Verification {
            worker: Allowance { per_second, burst },
            address: Allowance { per_second: share, burst: share },
        };
        let (budget, mut now) = (Budget::new(limits), 0);
        let mut spent = BTreeMap::<u32, u64>::new();
        for (address, pause, signatures) in events {
            now += pause;
            if budget.ask(v4(address), at(now)).is_ok() {
                budget.failed(v4(address), std::iter::repeat_n(Cost::P256, signatures).sum(), at(now));
                *spent.entry(address).or_default() += signatures as u64;
            }
            // The last token may take twenty signatures where there was room for one.
            let most = |allowance: Allowance| u64::from(allowance.burst) + 19 + (now * u64::from(allowance.per_second)).div_ceil(1000);
            prop_assert!(spent.values().sum::<u64>() <= most(limits.worker));
            prop_assert!(spent.values().all(|spent| *spent <= most(limits.address)));
        }
    }
}
