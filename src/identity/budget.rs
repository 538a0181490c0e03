//! What may be spent on tokens that do not hold.
//!
//! A signature is the dearest thing that a stranger can have a worker do: about a millisecond, a hundred times what refusing
//! a token costs that is expired or of an unknown issuer. Whoever knows an issuer's name and a `kid`, both public, can ask
//! for it without end. So what is bounded is *unpaid* work: signatures that were looked at and did not end in a token that
//! is remembered.
//!
//! **What counts.** Each signature that is tried for a token that then does not hold, by what it costs ([`Cost`]; a unit is a
//! signature on P-256): a forged token's, but also that of one that lacks a
//! scope or names nobody, for it is not remembered and costs the same the next time. A token that holds is remembered and
//! costs nothing, so that neither a gateway that has just started, when every token is new, nor a thousand users
//! behind one address spend anything. Nothing else counts: not a token that the cheap checks refuse, not an unknown `kid`
//! (how often keys are fetched for those has its own bound), and a remembered token is never even asked for.
//!
//! **Two allowances.** Each address has its share. When it is spent, new tokens from that address are refused without being
//! looked at, good ones too, because which are good is what is not to be found out: those behind the same address as an
//! attacker wait, and nobody else. Against many addresses at once there is the worker's allowance, which all failures are
//! charged to. While it is spent, only addresses that have shown a good token within the last day have new tokens
//! verified, each within its own share. So a flood from all over the world takes what the worker's allowance grants and
//! keeps out newcomers, but not the clients of yesterday who renew their tokens. An attacker would need a fresh valid token
//! for every address that should get past.
//!
//! **Addresses.** IPv6 by the /64, which is what one customer has. A forged `x-forwarded-for` only counts where the host has
//! been told to trust whoever sends it. Where the host does not tell the address, only the worker's allowance counts.
//!
//! **Memory.** Both tables have a fixed size and forget the least recently used. To push its own entry out of the failures
//! an attacker needs [`MAX_ADDRESSES`] failures from elsewhere, for which the worker's default allowance takes 40
//! seconds; the share it would win back has come back by itself in two. Failures do not touch the table of good addresses.

use crate::commons::Commons;
use crate::config::{Allowance, Verification};
use crate::host::UnixMillis;
use crate::jose::Cost;
use lru::LruCache;
use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

/// Most addresses that a worker knows as failing, and as good.
const MAX_ADDRESSES: usize = 4096;
/// How long an address that has shown a good token counts as good.
const GOOD_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// A client's address, as far as clients are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IPv4 address.
    V4(u32),
    /// The /64 of an IPv6 address.
    V6(u64),
}

impl Address {
    /// Reads an address, with its port or without; `None` for what is no IP address, such as a socket's path.
    pub fn parse(text: &str) -> Option<Self> {
        let address = text.parse().or_else(|_| text.parse().map(|address: SocketAddr| address.ip())).ok()?;
        Some(match address {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => match address.to_ipv4_mapped() {
                Some(address) => Self::V4(address.to_bits()),
                None => Self::V6((address.to_bits() >> 64) as u64),
            },
        })
    }
}

/// Why a token is not verified now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// Whose allowance is spent.
    pub by: Spender,
    /// When to try again.
    pub retry_after: Duration,
}

/// Whose allowance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spender {
    /// The client address's.
    Address,
    /// The worker's, for all addresses.
    Worker,
}

/// A worker's budget of verifications that fail.
pub struct Budget {
    limits: Verification,
    state: RefCell<State>,
}

struct State {
    worker: Debt,
    failing: LruCache<Address, Debt>,
    /// Until when an address counts as good.
    good: LruCache<Address, UnixMillis>,
}

/// What has been used and has not come back yet.
#[derive(Debug, Clone, Copy, Default)]
struct Debt {
    /// Thousandths of a unit, as many of which come back each millisecond as units do each second.
    owed: u64,
    at: UnixMillis,
}

impl Debt {
    /// A clock that stepped back takes nothing and gives nothing.
    fn settle(&mut self, allowance: Allowance, now: UnixMillis) {
        let passed = now.0.saturating_sub(self.at.0);
        self.owed = self.owed.saturating_sub(passed.saturating_mul(u64::from(allowance.per_second)));
        self.at = now;
    }

    /// How long until there is room for a unit.
    fn wait(&mut self, allowance: Allowance, now: UnixMillis) -> Option<Duration> {
        self.settle(allowance, now);
        let room = u64::from(allowance.burst) * 1000;
        let over = (self.owed + 1000).checked_sub(room).filter(|over| *over > 0)?;
        Some(Duration::from_millis(over.div_ceil(u64::from(allowance.per_second))))
    }

    fn add(&mut self, allowance: Allowance, cost: Cost, now: UnixMillis) {
        self.settle(allowance, now);
        self.owed = self.owed.saturating_add(cost.thousandths());
    }
}

impl Budget {
    /// A budget of which nothing is spent.
    pub fn new(limits: Verification) -> Self {
        let state = State { worker: Debt::default(), failing: LruCache::unbounded(), good: LruCache::unbounded() };
        Self { limits, state: RefCell::new(state) }
    }

    /// Whether a token from this address may be verified now.
    ///
    /// # Errors
    /// [`Spent`] where it has to wait.
    pub fn ask(&self, address: Option<Address>, now: UnixMillis) -> Result<(), Spent> {
        let State { worker, failing, good } = &mut *self.state.borrow_mut();
        let debt = address.and_then(|address| failing.peek_mut(&address));
        if let Some(retry_after) = debt.and_then(|debt| debt.wait(self.limits.address, now)) {
            return Err(Spent { by: Spender::Address, retry_after });
        }
        let is_good = address.and_then(|address| good.peek(&address)).is_some_and(|end| now < *end);
        match worker.wait(self.limits.worker, now) {
            Some(retry_after) if !is_good => Err(Spent { by: Spender::Worker, retry_after }),
            _ => Ok(()),
        }
    }

    /// A token from this address has held.
    pub fn held(&self, address: Option<Address>, now: UnixMillis) {
        let Some(address) = address else { return };
        let good = &mut self.state.borrow_mut().good;
        good.put(address, now.after(GOOD_FOR));
        if good.len() > MAX_ADDRESSES {
            good.pop_lru();
        }
    }

    /// So much was spent on a token from this address that does not hold.
    pub fn failed(&self, address: Option<Address>, spent: Cost, now: UnixMillis) {
        let State { worker, failing, .. } = &mut *self.state.borrow_mut();
        worker.add(self.limits.worker, spent, now);
        let Some(address) = address else { return };
        failing.get_or_insert_mut(address, Debt::default).add(self.limits.address, spent, now);
        if failing.len() > MAX_ADDRESSES {
            failing.pop_lru();
        }
    }
}

/// The budgets of a worker: routes with the same settings share one.
#[derive(Default)]
pub struct Budgets(Commons<Verification, Budget>);

impl Budgets {
    /// The budget with these settings.
    pub fn get(&self, limits: Verification) -> Rc<Budget> {
        self.0.get(limits, || Rc::new(Budget::new(limits)))
    }
}

#[cfg(test)]
mod tests;
