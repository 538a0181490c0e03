//! Catalogs that a Backstage serves: read once a node, kept in shared data, remembered by each worker.
//!
//! One worker of the node reads, whoever wins a lease, page by page beside requests; a request reads only where nothing was ever
//! read, or where the ticks that should evidently do not run. What was read takes effect at once and as a whole, for the worker
//! that read it and, within a second, for all others. What fails changes nothing: the last good index goes on.

mod page;
mod pass;
mod shared;

pub use pass::{Pass, PassResult, Progress, Summary};

use super::{Index, Section};
use crate::commons::Commons;
use crate::config::CatalogSource;
use crate::digest::digest_of;
use crate::held::{Held, Write};
use crate::host::{SharedData, UnixMillis};
use crate::pacing::{doubled, spread};
use shared::Head;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

/// How long a worker goes by what it last read from shared data.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Added to a lease so that it outlives the call it covers.
const LEASE_SLACK: Duration = Duration::from_secs(2);
/// Attempts to write the head before another worker is taken to be at it.
const ROUNDS: usize = 4;
/// How long a request reads, for its own sake.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a due reading may wait before ticks are taken not to run.
const TICKS_GRACE: Duration = Duration::from_secs(30);
/// First and longest pause after failures.
const COOLDOWN: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The sections' names in keys, in the order of [`Head::sections`].
const SECTIONS: [&str; 2] = ["entities", "groups"];

/// The catalogs that the routes of a worker know, each once, however many routes name it.
#[derive(Default)]
pub struct Catalogs(Commons<(String, CatalogSource), LiveCatalog>);

impl Catalogs {
    /// The catalog of `source`, kept under `zone`.
    pub fn get(&self, zone: &str, source: &CatalogSource) -> Rc<LiveCatalog> {
        self.0.get((zone.to_owned(), source.clone()), || Rc::new(LiveCatalog::new(zone, source.clone())))
    }

    /// The catalogs that some route uses; those of routes that are gone are forgotten.
    pub fn in_use(&self) -> Vec<Rc<LiveCatalog>> {
        self.0.in_use()
    }
}

/// A catalog that a Backstage serves.
pub struct LiveCatalog {
    source: CatalogSource,
    key: String,
    state: RefCell<State>,
    store_faults: Cell<u64>,
}

#[derive(Default)]
struct State {
    held: Held<Head>,
    index: Option<Rc<Index>>,
    /// When the reading of this worker's index began.
    fetched: UnixMillis,
    looked: Option<UnixMillis>,
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
        let (state, store_faults) = Default::default();
        Self { source, key, state, store_faults }
    }

    /// Where it is read, and how.
    pub fn source(&self) -> &CatalogSource {
        &self.source
    }

    /// What this worker has of it; young enough is what was read no longer than `max_stale` ago.
    pub fn availability(&self, store: &dyn SharedData, now: UnixMillis, max_stale: Duration) -> Availability {
        self.look(store, now, false);
        let state = self.state.borrow();
        match state.index.clone() {
            None => Availability::Unread,
            Some(index) if now.since(state.fetched) <= max_stale => Availability::Fresh(index),
            Some(index) => Availability::Stale(index),
        }
    }

    /// Age of this worker's index, for metrics; `None` before the first reading.
    pub fn age(&self, now: UnixMillis) -> Option<Duration> {
        let state = self.state.borrow();
        state.index.as_ref().map(|_| now.since(state.fetched))
    }

    /// Faults of shared data since the last call, for metrics.
    pub fn take_store_faults(&self) -> u64 {
        self.store_faults.take()
    }

    /// Asks for leave to read it, from a tick; the next one comes after `period`. At most one worker of the node is told yes.
    pub fn refresh(self: &Rc<Self>, store: &dyn SharedData, now: UnixMillis, period: Duration) -> Option<Box<Pass>> {
        self.is_refresh_due(store, now, period).then(|| self.lead(store, now, None)).flatten()
    }

    /// Whether it is to be read.
    pub fn is_refresh_due(&self, store: &dyn SharedData, now: UnixMillis, period: Duration) -> bool {
        self.look(store, now, false);
        let state = self.state.borrow();
        let head = &state.held.record;
        // Where what is in force cannot be read, because a part of it is gone, this worker reads for itself.
        let is_left_behind = now.since(state.fetched) > self.source.refresh * 2;
        // What becomes due before the next survey is done at this one: an owner's change must not wait for two.
        let is_due = state.index.is_none() || is_left_behind || head.refresh_at <= now.after(period).0;
        is_due && head.retry_at <= now.0
    }

    /// Asks for leave to read it on behalf of a request, where nothing was ever read, or where it has been due for long and no tick
    /// came. The request then waits, for [`PATIENCE`] and not longer.
    pub fn request(self: &Rc<Self>, store: &dyn SharedData, now: UnixMillis) -> Option<Box<Pass>> {
        self.look(store, now, false);
        let is_needed = {
            let state = self.state.borrow();
            let head = &state.held.record;
            let untried = UnixMillis(head.refresh_at.max(head.retry_at)).after(TICKS_GRACE);
            let is_unread = state.index.is_none() && head.retry_at <= now.0;
            !head.too_long && (is_unread || (state.index.is_some() && now >= untried))
        };
        is_needed.then(|| self.lead(store, now, Some(PATIENCE))).flatten()
    }

    fn lead(self: &Rc<Self>, store: &dyn SharedData, now: UnixMillis, patience: Option<Duration>) -> Option<Box<Pass>> {
        let mut id = 0;
        let leads = self.change(store, now, |head| {
            if head.leased_until > now.0 {
                return false;
            }
            head.leased_until = self.lease_end(now);
            head.reading = head.reading.wrapping_add(1);
            id = head.reading;
            true
        });
        leads.then(|| Pass::new(self.clone(), id, now, patience))
    }

    /// Keeps the lease of a reading for another page; false where another worker reads by now.
    fn renew(&self, store: &dyn SharedData, now: UnixMillis, id: u64) -> bool {
        self.look(store, now, true);
        self.change(store, now, |head| {
            let is_ours = head.reading == id;
            if is_ours {
                head.leased_until = self.lease_end(now);
            }
            is_ours
        })
    }

    /// Leaves a reading to the ticks that a request began and that takes too long.
    fn give_up(&self, store: &dyn SharedData, now: UnixMillis, id: u64) {
        self.look_at_head(store, now);
        self.change(store, now, |head| {
            let is_ours = head.reading == id;
            if is_ours {
                (head.leased_until, head.too_long) = (0, true);
            }
            is_ours
        });
    }

    fn lease_end(&self, now: UnixMillis) -> u64 {
        now.after(self.source.timeout).after(LEASE_SLACK).0
    }

    /// Why a catalog that was read is not believed, if so. Backstage answers a token that lacks the permission to read the
    /// catalog with an empty one, and one that has just started is still filling its own.
    fn doubt(&self, index: &Index, entities: usize) -> Option<PassResult> {
        if entities == 0 {
            return Some(PassResult::Empty);
        }
        let mut state = self.state.borrow_mut();
        let head = &mut state.held.record;
        let version = shared::version(&index.entities);
        if entities < head.entities / 2 && head.doubted.as_ref() != Some(&version) {
            head.doubted = Some(version);
            return Some(PassResult::Doubtful);
        }
        None
    }

    /// Puts into force what a reading found. True where anything has changed.
    fn settle(
        &self,
        store: &dyn SharedData,
        now: UnixMillis,
        begun: UnixMillis,
        index: Index,
        (entities, groups): (usize, usize),
    ) -> bool {
        let (had_none, is_new) = {
            let mut state = self.state.borrow_mut();
            let (had_none, is_new) = (state.index.is_none(), state.index.as_deref() != Some(&index));
            if is_new {
                state.index = Some(Rc::new(index.clone()));
            }
            (state.fetched, state.looked) = (begun, Some(now));
            (had_none, is_new)
        };
        self.look_at_head(store, now);
        let in_force = self.state.borrow().held.record.sections.clone();
        let refresh = self.source.refresh;
        let refresh_at = begun.after(refresh * 9 / 10).after(spread(&self.key, now, refresh / 10));
        let written = self.write_sections(store, &index, in_force.as_ref(), had_none);
        self.change(store, now, |head| {
            (head.leased_until, head.failures, head.retry_at, head.doubted) = (0, 0, 0, None);
            head.too_long = false;
            (head.refresh_at, head.entities, head.groups) = (refresh_at.0, entities, groups);
            // Where the sections could not be written, others go on by what they have, as old as that is.
            if let Some(sections) = &written {
                head.fetched = begun.0;
                head.sections = Some(sections.clone());
            }
            true
        });
        is_new
    }

    fn write_sections(
        &self,
        store: &dyn SharedData,
        index: &Index,
        in_force: Option<&[shared::Place; 2]>,
        anew: bool,
    ) -> Option<[shared::Place; 2]> {
        let [entities, groups] = SECTIONS;
        let (first, second) = in_force.map_or((None, None), |[first, second]| (Some(first), Some(second)));
        let write = |name, section: &Section, place| {
            shared::write(store, &self.key, name, section, place, anew).map_err(|_| self.count_fault()).ok()
        };
        Some([write(entities, &index.entities, first)?, write(groups, &index.groups, second)?])
    }

    /// Notes that a reading failed, and when to try again.
    fn settle_failure(&self, store: &dyn SharedData, now: UnixMillis, fault: PassResult) {
        let doubted = self.state.borrow().held.record.doubted.clone();
        self.look_at_head(store, now);
        self.change(store, now, |head| {
            head.leased_until = 0;
            if fault == PassResult::Doubtful {
                head.doubted.clone_from(&doubted);
            }
            head.failures = head.failures.saturating_add(1);
            let pause = doubled(COOLDOWN, head.failures, LONGEST_PAUSE);
            head.retry_at = now.after(pause).after(spread(&self.key, now, pause / 5)).0;
            true
        });
    }

    /// Changes the head; decides again where somebody else wrote. False where `change` says no. Where shared data fails, this
    /// worker is left to itself, and its own copy changes.
    fn change(&self, store: &dyn SharedData, now: UnixMillis, mut change: impl FnMut(&mut Head) -> bool) -> bool {
        for _ in 0..ROUNDS {
            let mut held = self.state.borrow().held.clone();
            if !change(&mut held.record) {
                return false;
            }
            match held.write(store, &self.key) {
                Write::Done => {}
                Write::Failed => self.count_fault(),
                Write::Changed => {
                    self.look_at_head(store, now);
                    continue;
                }
            }
            self.state.borrow_mut().held = held;
            return true;
        }
        false
    }

    /// Reads shared data if it was not read a moment ago, or at once when `now_please`.
    fn look(&self, store: &dyn SharedData, now: UnixMillis, now_please: bool) {
        let looked = self.state.borrow().looked;
        let is_fresh = looked.is_some_and(|looked| looked <= now && now.since(looked) < LOOK_AGAIN);
        if !is_fresh || now_please {
            self.look_at_head(store, now);
            self.adopt(store);
        }
    }

    fn look_at_head(&self, store: &dyn SharedData, now: UnixMillis) {
        let mut state = self.state.borrow_mut();
        state.looked = Some(now);
        match Held::read(store, &self.key) {
            Ok(Some(held)) => state.held = held,
            // Evicted, or never there: the worker's own copy goes on and is written back by the next reading.
            Ok(None) => state.held.version = None,
            Err(_) => self.count_fault(),
        }
    }

    /// Takes over the sections that are in force, where they are not this worker's own.
    fn adopt(&self, store: &dyn SharedData) {
        let (head, own, fetched) = {
            let state = self.state.borrow();
            (state.held.record.clone(), state.index.clone(), state.fetched)
        };
        // Where the sections could not be written, this worker may have read a newer catalog than is in force.
        let Some(places) = head.sections.as_ref().filter(|_| head.fetched >= fetched.0) else { return };
        let own = own.as_deref().map(|index| [&index.entities, &index.groups]);
        let mut sections = Vec::with_capacity(places.len());
        for (number, (place, name)) in places.iter().zip(SECTIONS).enumerate() {
            let known =
                own.and_then(|own| own.get(number).copied()).filter(|own| shared::version(own) == place.version);
            let section = match known {
                Some(known) => Some(known.clone()),
                None => shared::read(store, &self.key, name, place).unwrap_or_else(|_| {
                    self.count_fault();
                    None
                }),
            };
            sections.extend(section);
        }
        // A part that is missing, or was written over meanwhile: the own index goes on, and the next look tries again.
        let Ok([entities, groups]) = <[Section; 2]>::try_from(sections) else { return };
        let mut state = self.state.borrow_mut();
        state.fetched = UnixMillis(head.fetched);
        if state.index.as_ref().is_none_or(|own| own.entities != entities || own.groups != groups) {
            state.index = Some(Rc::new(Index { entities, groups }));
        }
    }

    fn count_fault(&self) {
        self.store_faults.set(self.store_faults.get().saturating_add(1));
    }
}

#[cfg(test)]
mod tests;
