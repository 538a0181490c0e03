//! What may be spent on forged tokens.
//!
//! A signature is the most expensive work that a stranger can give a worker: about a millisecond, a hundred times what it takes to refuse
//! a token that is expired or of an unknown issuer. Whoever knows an issuer's name and a `kid`, both public, can ask for it without end.
//! So what is bounded is wasted work: signatures that were verified and turned out wrong.
//!
//! **What counts.** Each key that is tried for a token with a wrong signature, by what it costs ([`Cost`]; a unit is a signature on P-256).
//! A token whose signature is right costs nothing, whatever it says: it is remembered, if only as one that is refused, and is not verified
//! again. So neither a gateway that has just started, when every token is new, nor a thousand users behind one address, nor a client that
//! was given too few scopes spend anything. Neither does a token that the cheap checks refuse, one that another worker of the
//! node has verified ([`super::SignatureRecord`]), nor an unknown `kid` (how often keys are fetched for those has its own bound).
//!
//! **Shares.** Each address has its share. While that is spent, new tokens from the address are refused unverified, good ones too, for
//! to tell which are good is the work that is saved. What is refused is charged to nobody. IPv6 addresses are told apart by their /64,
//! which is what one customer has. A /48, which is what one site has, has the shares of [`SITE_SHARES`] of them; addresses that have
//! shown a good token are not bound by their site's.
//!
//! **The worker's allowance** bounds what all addresses take together; all failures are charged to it.
//!
//! - An address that failed within the last minute, or whose site did, may only use half of it. The other half is left for
//!   the others.
//! - An address that has shown a good token within the last day does not need it: its own share is enough.
//!
//! **Whom a flood keeps out.** One address, or one site, spends its own share, far below half of the worker's: nobody else is affected.
//! A flood from many addresses spends the half that is for those who have failed, and keeps out others who failed within
//! the same minute. To keep out newcomers as well it has to spend the other half, and each address (or IPv6 site) takes
//! from that once a minute. With the default allowance of 100 a second, *n* addresses keep newcomers out for about *n*/100 seconds of each
//! minute (four times as long where tokens are signed by ES384), and more than [`MAX_ADDRESSES`] of them all the time. Even then the clients
//! of the last day get through. To pass for one of them an attacker needs a fresh valid token for every address. Those behind the address
//! of an attacker (a NAT) wait when their tokens change; tokens that were verified before pass.
//!
//! A forged `x-forwarded-for` only counts where the host has been told to trust whoever sends it. Where the host does not give the
//! address, there are no shares: such requests may use the half of the worker's allowance that is not kept for others.
//!
//! **Memory.** All tables have a fixed size and forget the least recently used. To push its own entry out of the failures
//! an attacker needs [`MAX_ADDRESSES`] failures from elsewhere, for which the worker's default allowance takes 40
//! seconds; the share it would win back has come back by itself in two. Failures do not touch the table of good addresses.
//!
//! Each worker has its own tables. Addresses are not shared over the node: a good client that a worker does not know is a newcomer
//! there, for whom half of the allowance is kept, and its token is known to it if any worker has verified it.

use crate::config::{Allowance, Verification};
use crate::host::UnixMillis;
use crate::jose::Cost;
use crate::shared_pool::SharedPool;
use lru::LruCache;
use std::cell::RefCell;
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

/// Most addresses that a worker knows as failing, and as good.
const MAX_ADDRESSES: usize = 4096;
/// How long an address that has shown a good token counts as good.
const GOOD_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// How long an address that has failed may only use half of the worker's allowance.
const FAILED_FOR: Duration = Duration::from_secs(60);
/// How many addresses' shares an IPv6 site has.
const SITE_SHARES: u32 = 4;

/// A client's address, as far as clients are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IPv4 address.
    V4(u32),
    /// The /64 of an IPv6 address.
    V6(u64),
}

impl Address {
    /// The /48 of an IPv6 address.
    fn site(self) -> Option<u64> {
        match self {
            Self::V4(_) => None,
            Self::V6(network) => Some(network >> 16),
        }
    }

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
pub struct BudgetExhausted {
    /// Whose allowance is spent.
    pub by: BudgetOwner,
    /// When to try again.
    pub retry_after: Duration,
}

/// Whose allowance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BudgetOwner {
    /// The client address's, or its site's.
    Address,
    /// The worker's, for all addresses.
    Worker,
}

/// A worker's budget of verifications that fail.
pub struct Budget {
    worker: Allowance,
    state: RefCell<BudgetState>,
}

struct BudgetState {
    worker: Debt,
    addresses: Failures<Address>,
    sites: Failures<u64>,
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

    /// How long until this much more fits into `room`. What is larger than all of the room takes all of it.
    fn wait(&mut self, allowance: Allowance, room: u64, cost: Cost, now: UnixMillis) -> Option<Duration> {
        self.settle(allowance, now);
        let wanted = cost.thousandths().min(room);
        let over = self.owed.saturating_add(wanted).checked_sub(room).filter(|over| *over > 0)?;
        Some(Duration::from_millis(over.div_ceil(u64::from(allowance.per_second))))
    }

    fn add(&mut self, allowance: Allowance, cost: Cost, now: UnixMillis) {
        self.settle(allowance, now);
        self.owed = self.owed.saturating_add(cost.thousandths());
    }
}

/// Who has failed: how much of its share that took, and when it last did.
struct Failures<K: Hash + Eq> {
    share: Allowance,
    table: LruCache<K, (Debt, UnixMillis)>,
}

impl<K: Hash + Eq> Failures<K> {
    fn new(share: Allowance) -> Self {
        Self { share, table: LruCache::unbounded() }
    }

    fn wait(&mut self, key: &K, cost: Cost, now: UnixMillis) -> Option<Duration> {
        let room = room(self.share);
        self.table.peek_mut(key).and_then(|(debt, _)| debt.wait(self.share, room, cost, now))
    }

    fn add(&mut self, key: K, cost: Cost, now: UnixMillis) {
        let (debt, last) = self.table.get_or_insert_mut(key, Default::default);
        debt.add(self.share, cost, now);
        *last = now;
        if self.table.len() > MAX_ADDRESSES {
            self.table.pop_lru();
        }
    }

    fn is_recent(&self, key: &K, now: UnixMillis) -> bool {
        self.table.peek(key).is_some_and(|(_, last)| (*last..last.after(FAILED_FOR)).contains(&now))
    }
}

/// What may be used at once, in thousandths of a unit.
fn room(allowance: Allowance) -> u64 {
    u64::from(allowance.burst) * 1000
}

impl Budget {
    /// A budget of which nothing is spent.
    pub fn new(limits: Verification) -> Self {
        let Allowance { per_second, burst } = limits.address;
        let (per_second, burst) = (per_second.saturating_mul(SITE_SHARES), burst.saturating_mul(SITE_SHARES));
        let state = BudgetState {
            worker: Debt::default(),
            addresses: Failures::new(limits.address),
            sites: Failures::new(Allowance { per_second, burst }),
            good: LruCache::unbounded(),
        };
        Self { worker: limits.worker, state: RefCell::new(state) }
    }

    /// Whether a token from this address may be verified now that costs so much if its signature is wrong.
    ///
    /// # Errors
    /// [`BudgetExhausted`] where it has to wait.
    pub fn ask(&self, address: Option<Address>, cost: Cost, now: UnixMillis) -> Result<(), BudgetExhausted> {
        let BudgetState { worker, addresses, sites, good } = &mut *self.state.borrow_mut();
        if let Some(retry_after) = address.and_then(|address| addresses.wait(&address, cost, now)) {
            return Err(BudgetExhausted { by: BudgetOwner::Address, retry_after });
        }
        if address.and_then(|address| good.peek(&address)).is_some_and(|end| now < *end) {
            return Ok(());
        }
        let site = address.and_then(Address::site);
        if let Some(retry_after) = site.and_then(|site| sites.wait(&site, cost, now)) {
            return Err(BudgetExhausted { by: BudgetOwner::Address, retry_after });
        }
        let has_failed = address.is_none_or(|address| addresses.is_recent(&address, now))
            || site.is_some_and(|site| sites.is_recent(&site, now));
        let room = room(self.worker);
        let room = if has_failed { room / 2 } else { room };
        match worker.wait(self.worker, room, cost, now) {
            Some(retry_after) => Err(BudgetExhausted { by: BudgetOwner::Worker, retry_after }),
            None => Ok(()),
        }
    }

    /// A token from this address has a right signature.
    pub fn valid(&self, address: Option<Address>, now: UnixMillis) {
        let Some(address) = address else { return };
        let good = &mut self.state.borrow_mut().good;
        good.put(address, now.after(GOOD_FOR));
        if good.len() > MAX_ADDRESSES {
            good.pop_lru();
        }
    }

    /// A token from this address that cost so much has a wrong signature.
    pub fn failed(&self, address: Option<Address>, cost: Cost, now: UnixMillis) {
        let BudgetState { worker, addresses, sites, .. } = &mut *self.state.borrow_mut();
        worker.add(self.worker, cost, now);
        let Some(address) = address else { return };
        addresses.add(address, cost, now);
        if let Some(site) = address.site() {
            sites.add(site, cost, now);
        }
    }
}

/// The budgets of a worker: routes with the same settings share one.
#[derive(Default)]
pub struct Budgets(SharedPool<Verification, Budget>);

impl Budgets {
    /// The budget with these settings.
    pub fn get(&self, limits: Verification) -> Rc<Budget> {
        self.0.get(limits, || Rc::new(Budget::new(limits)))
    }
}

#[cfg(test)]
mod tests;
