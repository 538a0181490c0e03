//! Catalogs that a Backstage serves: read once a node, kept in shared data, remembered by each worker.
//!
//! One worker of the node reads, whoever wins a lease, page by page beside requests; a request reads only where nothing was ever
//! read, or where the ticks that should evidently do not run. What was read takes effect at once and as a whole, for the worker
//! that read it and, within a second, for all others. What fails changes nothing: the last good index goes on.

mod head;
mod page;
mod read;
mod sections;

pub use read::{CatalogRead, ReadProgress, ReadResult, Summary};

use super::Index;
use crate::config::CatalogSource;
use crate::digest::digest_of;
use crate::host::{SharedData, UnixMillis};
use crate::pacing::{doubled, spread};
use crate::shared_pool::SharedPool;
use crate::shared_record::{Lead, Lease, Look, SharedRecord};
use head::Head;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// Added to a lease so that it outlives the call it covers.
const LEASE_SLACK: Duration = Duration::from_secs(2);
/// How long a request reads, for its own sake.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a due reading may wait before ticks are taken not to run.
const TICKS_GRACE: Duration = Duration::from_secs(30);
/// First and longest pause after failures.
const COOLDOWN: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The catalogs that the routes of a worker know, each once, however many routes name it.
#[derive(Default)]
pub struct Catalogs(SharedPool<(String, CatalogSource), LiveCatalog>);

impl Catalogs {
    /// The catalog of `source`, kept under `zone`.
    pub fn get(&self, zone: &str, source: &CatalogSource) -> Rc<LiveCatalog> {
        self.0.get((zone.to_owned(), source.clone()), || Rc::new(LiveCatalog::new(zone, source.clone())))
    }

    /// The catalogs that some route uses; those of routes that are gone are forgotten.
    pub fn in_use(&self) -> Vec<Rc<LiveCatalog>> {
        self.0.in_use()
    }

    /// Whether a reading of one of them was begun for a request that is gone, or cannot wait.
    pub fn has_left(&self) -> bool {
        self.0.has(LiveCatalog::is_left)
    }
}

/// A catalog that a Backstage serves.
pub struct LiveCatalog {
    source: CatalogSource,
    shared: SharedRecord<Head>,
    own: RefCell<Own>,
}

/// What this worker has of it.
#[derive(Default)]
struct Own {
    index: Option<Rc<Index>>,
    /// When the reading of the index began.
    fetched: UnixMillis,
}

/// What a worker has of a catalog.
#[derive(Debug, Clone)]
pub enum Availability {
    /// An index that is young enough.
    Fresh(Rc<Index>),
    /// One that is too old.
    Stale(Rc<Index>),
    /// None, ever.
    Unread,
}

impl LiveCatalog {
    fn new(zone: &str, source: CatalogSource) -> Self {
        // Whatever decides what is read, and when, is part of the key: tokens, for one, may read different parts.
        let key = format!("{zone}/catalog:{} {}", source.backend.authority, digest_of(&source));
        Self { source, shared: SharedRecord::new(key), own: RefCell::default() }
    }

    /// Where it is read, and how.
    pub fn source(&self) -> &CatalogSource {
        &self.source
    }

    /// What this worker has of it; young enough is what was read no longer than `max_stale` ago.
    pub fn availability(&self, store: &dyn SharedData, now: UnixMillis, max_stale: Duration) -> Availability {
        self.look(store, now);
        let own = self.own.borrow();
        match own.index.clone() {
            None => Availability::Unread,
            Some(index) if now.since(own.fetched) <= max_stale => Availability::Fresh(index),
            Some(index) => Availability::Stale(index),
        }
    }

    /// Age of this worker's index, for metrics; `None` before the first reading.
    pub fn age(&self, now: UnixMillis) -> Option<Duration> {
        let own = self.own.borrow();
        own.index.as_ref().map(|_| now.since(own.fetched))
    }

    /// Faults of shared data since the last call, for metrics.
    pub fn take_store_faults(&self) -> u64 {
        self.shared.take_faults()
    }

    /// Asks for leave to read it, from a tick; the next one comes after `period`. At most one worker of the node is told yes.
    pub fn refresh(
        self: &Rc<Self>,
        store: &dyn SharedData,
        now: UnixMillis,
        period: Duration,
    ) -> Option<Box<CatalogRead>> {
        self.is_refresh_due(store, now, period).then(|| self.lead(store, now, None)).flatten()
    }

    /// Whether it is to be read.
    pub fn is_refresh_due(&self, store: &dyn SharedData, now: UnixMillis, period: Duration) -> bool {
        self.look(store, now);
        let (own, head) = (self.own.borrow(), self.shared.copy());
        // Where what is in force cannot be read, because a part of it is gone, this worker reads for itself.
        let is_left_behind = now.since(own.fetched) > self.source.refresh * 2;
        // What becomes due before the next survey is done at this one: an owner's change must not wait for two.
        let is_due = own.index.is_none() || is_left_behind || head.refresh_at <= now.after(period).0;
        is_due && head.retry_at <= now.0
    }

    /// Whether a reading was begun for a request that is gone, or cannot wait, so that the next tick should see to it.
    pub fn is_left(&self) -> bool {
        self.shared.is_left()
    }

    /// Asks for leave to read it on behalf of a request, where nothing was ever read, or where it has been due for long and no tick
    /// came. The request then waits, for [`PATIENCE`] and not longer.
    pub fn request(self: &Rc<Self>, store: &dyn SharedData, now: UnixMillis) -> Option<Box<CatalogRead>> {
        self.look(store, now);
        let is_needed = {
            let (own, head) = (self.own.borrow(), self.shared.copy());
            let untried = UnixMillis(head.refresh_at.max(head.retry_at)).after(TICKS_GRACE);
            let is_unread = own.index.is_none() && head.retry_at <= now.0;
            let is_for_ticks = head.too_long || now.0 < head.requests_after;
            !is_for_ticks && (is_unread || (own.index.is_some() && now >= untried))
        };
        is_needed.then(|| self.lead(store, now, Some(PATIENCE))).flatten()
    }

    fn lead(
        self: &Rc<Self>,
        store: &dyn SharedData,
        now: UnixMillis,
        patience: Option<Duration>,
    ) -> Option<Box<CatalogRead>> {
        match self.shared.lead(store, now, self.lease_span(), &mut |_| {}) {
            Lead::Won(lease) | Lead::Alone(lease) => Some(CatalogRead::new(self.clone(), lease, now, patience)),
            Lead::Taken => None,
        }
    }

    /// Keeps the lease of a reading for another page; false where another worker reads by now.
    fn renew(&self, store: &dyn SharedData, now: UnixMillis, lease: &Lease) -> bool {
        self.shared.renew(store, now, lease, self.lease_span())
    }

    /// Leaves a reading to the ticks that a request began and that takes too long.
    fn give_up(&self, store: &dyn SharedData, now: UnixMillis, lease: Lease) {
        self.shared.release(store, now, lease, &mut |head| head.too_long = true);
    }

    fn lease_span(&self) -> Duration {
        self.source.timeout.saturating_add(LEASE_SLACK)
    }

    /// Why a catalog that was read is not believed, if so, and the version that is to say so again. Backstage answers a token that
    /// lacks the permission to read the catalog with an empty one, and one that has just started is still filling its own.
    fn doubt(&self, index: &Index, entities: usize) -> Option<(ReadResult, Option<String>)> {
        if entities == 0 {
            return Some((ReadResult::Empty, None));
        }
        let head = self.shared.copy();
        let version = sections::version(&index.entities);
        let is_doubtful = entities < head.entities / 2 && head.doubted.as_ref() != Some(&version);
        is_doubtful.then_some((ReadResult::Doubtful, Some(version)))
    }

    /// The index that a new one takes the place of, as the node has it now.
    fn in_force(&self, store: &dyn SharedData, now: UnixMillis) -> Option<Rc<Index>> {
        self.shared.look_now(store, now);
        self.adopt(store, now);
        self.own.borrow().index.clone()
    }

    /// Puts into force what a reading found. True where anything has changed.
    fn settle(
        &self,
        store: &dyn SharedData,
        now: UnixMillis,
        lease: Lease,
        begun: UnixMillis,
        (index, entities, groups): (Index, usize, usize),
    ) -> bool {
        let had_none = self.own.borrow().index.is_none();
        self.shared.look_now(store, now);
        let in_force = self.shared.copy().sections.clone();
        let written = sections::write(store, self.shared.key(), &index, in_force.as_ref(), had_none);
        if written.is_err() {
            self.shared.count_fault();
        }
        let refresh = self.source.refresh;
        let refresh_at = begun.after(refresh * 9 / 10).after(spread(self.shared.key(), now, refresh / 10));
        self.shared.settle(store, now, Some(lease), &mut |head| {
            (head.failures, head.retry_at, head.doubted) = (0, 0, None);
            (head.too_long, head.requests_after) = (false, 0);
            (head.refresh_at, head.entities, head.groups) = (refresh_at.0, entities, groups);
            // Where the sections could not be written, others go on by what they have, as old as that is.
            if let Ok(sections) = &written {
                head.fetched = begun.0;
                head.sections = Some(sections.clone());
            }
        });
        let mut own = self.own.borrow_mut();
        own.fetched = begun;
        let is_new = own.index.as_deref() != Some(&index);
        if is_new {
            own.index = Some(Rc::new(index));
        }
        is_new
    }

    /// Notes that a reading failed, and when to try again.
    fn settle_failure(&self, store: &dyn SharedData, now: UnixMillis, lease: Lease, doubted: Option<&String>) {
        self.shared.settle(store, now, Some(lease), &mut |head| {
            head.doubted = doubted.cloned().or(head.doubted.take());
            head.failures = head.failures.saturating_add(1);
            let pause = doubled(COOLDOWN, head.failures, LONGEST_PAUSE);
            head.retry_at = now.after(pause).after(spread(self.shared.key(), now, pause / 5)).0;
        });
    }

    fn look(&self, store: &dyn SharedData, now: UnixMillis) {
        if self.shared.look(store, now) != Look::Recent {
            self.adopt(store, now);
        }
    }

    /// Takes over the sections that are in force, where they are not this worker's own.
    fn adopt(&self, store: &dyn SharedData, now: UnixMillis) {
        let head = self.shared.copy();
        let mut own = self.own.borrow_mut();
        // Where the sections could not be written, this worker may have read a newer catalog than is in force.
        if head.fetched < own.fetched.0 && own.fetched <= now {
            return;
        }
        match sections::read(store, self.shared.key(), &head, own.index.as_deref()) {
            Ok(Some(index)) => {
                own.fetched = UnixMillis(head.fetched);
                if own.index.as_deref() != Some(&index) {
                    own.index = Some(Rc::new(index));
                }
            }
            // A chunk that is missing, or was written over meanwhile: the own index goes on, and the next look tries again.
            Ok(None) => {}
            Err(_) => self.shared.count_fault(),
        }
    }
}

#[cfg(test)]
mod tests;
