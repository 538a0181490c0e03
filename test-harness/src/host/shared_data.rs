//! Shared data: one store a node, seen by all its workers.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Profile, slab};

/// What a full [`Zone`] does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Eviction {
    /// Drops the least recently used of the same size first, then of larger ones, then of smaller ones.
    #[default]
    Slru,
    /// Drops the least recently used.
    Lru,
    /// Refuses: the write traps.
    None,
}

/// A shared memory zone of Kong's, `KONG_NGINX_WASM_SHM_KV` or `KONG_NGINX_WASM_SHM_KV_<name>`.
#[derive(Clone, Debug)]
pub struct Zone {
    name: String,
    size: usize,
    eviction: Eviction,
}

impl Zone {
    /// The default zone, `*`, for keys without a known prefix.
    #[must_use]
    pub fn default_zone(size: usize) -> Self {
        Self::named("*", size)
    }

    /// The zone of the keys that start with `name/`.
    #[must_use]
    pub fn named(name: impl Into<String>, size: usize) -> Self {
        Self { name: name.into(), size, eviction: Eviction::Slru }
    }

    /// Sets what happens when the zone is full.
    #[must_use]
    pub fn eviction(mut self, eviction: Eviction) -> Self {
        self.eviction = eviction;
        self
    }
}

/// What became of a read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    Found(Vec<u8>, u32),
    NotFound,
    /// The host traps, with this message.
    Trap(&'static str),
}

/// What became of a write.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Write {
    Written,
    CasMismatch,
    Trap(&'static str),
}

/// Faults waiting to happen; see [`Faults`](crate::Faults).
#[derive(Debug, Default)]
pub(crate) struct PlannedFaults {
    pub(crate) lost_gets: u32,
    pub(crate) failed_sets: u32,
    pub(crate) lost_cas: u32,
    pub(crate) torn_reads: u32,
    pub(crate) full_zones: Vec<String>,
    pub(crate) collisions: BTreeMap<String, String>,
}

#[derive(Debug)]
struct Entry {
    zone: usize,
    value: Vec<u8>,
    /// The value before: what a torn read mixes in.
    previous: Vec<u8>,
    cas: u32,
    cost: usize,
    /// When it was last used; the least is evicted first.
    used: u64,
}

/// A zone and its number, then what the host compares keys by.
type Key = (usize, String);

#[derive(Debug, Default)]
pub(crate) struct Store {
    zones: Vec<(Zone, usize)>,
    entries: BTreeMap<Key, Entry>,
    /// Eviction order: zone, queue, time of last use.
    order: BTreeMap<(usize, u32, u64), Key>,
    stamp: u64,
    next_cas: u32,
    pub(crate) faults: PlannedFaults,
}

/// The store behind its lock.
#[derive(Debug)]
pub(crate) struct SharedData {
    profile: Profile,
    store: Mutex<Store>,
}

impl SharedData {
    pub(crate) fn new(profile: Profile, zones: Vec<Zone>) -> Self {
        let zones = zones.into_iter().map(|zone| (zone, 0)).collect();
        Self { profile, store: Mutex::new(Store { zones, ..Store::default() }) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, key: &str) -> Read {
        let mut store = self.lock();
        let Some(key) = store.resolve(self.profile, key) else {
            return Read::Trap("failed getting value from shm (could not resolve namespace)");
        };
        if take_one(&mut store.faults.lost_gets) {
            return Read::NotFound;
        }
        let torn = store.entries.contains_key(&key) && take_one(&mut store.faults.torn_reads);
        store.touch(&key);
        match store.entries.get(&key) {
            None => Read::NotFound,
            Some(entry) if torn => Read::Found(tear(&entry.value, &entry.previous), entry.cas),
            Some(entry) => Read::Found(entry.value.clone(), entry.cas),
        }
    }

    /// Writes; `None` deletes. `cas` 0 is what the SDK sends for `None`.
    pub(crate) fn set(&self, key: &str, value: Option<&[u8]>, cas: u32) -> Write {
        let mut store = self.lock();
        let key_len = key.len();
        let Some(key) = store.resolve(self.profile, key) else {
            return Write::Trap("failed setting value to shm (could not resolve namespace)");
        };
        if take_one(&mut store.faults.failed_sets) {
            return Write::Trap("failed setting value to shm (could not write to slab)");
        }
        if take_one(&mut store.faults.lost_cas) {
            store.other_writer(&key, key_len, value);
        }
        match self.profile {
            Profile::Kong => store.set_like_kong(key, key_len, value, cas),
            Profile::Envoy => store.set_like_envoy(key, value.unwrap_or_default(), cas),
        }
    }
}

fn take_one(count: &mut u32) -> bool {
    let any = *count > 0;
    *count = count.saturating_sub(1);
    any
}

/// Half of the new value and half of what lay there before: what a copy made after the lock was released can hold.
fn tear(value: &[u8], previous: &[u8]) -> Vec<u8> {
    let half = value.len() / 2;
    let mut torn: Vec<u8> = value.iter().take(half).copied().collect();
    torn.extend((half..value.len()).map(|at| match (previous.get(at), value.get(at)) {
        (Some(old), Some(new)) if old != new => *old,
        (_, Some(new)) => !*new,
        _ => 0,
    }));
    torn
}

impl Store {
    /// The entry a key names on this host; `None` when no zone takes it.
    fn resolve(&self, profile: Profile, key: &str) -> Option<Key> {
        if profile == Profile::Envoy {
            return Some((usize::MAX, key.to_owned()));
        }
        let by_name = |name: &str| self.zones.iter().position(|(zone, _)| zone.name == name);
        let named = key.split_once('/').and_then(|(name, _)| by_name(name));
        let zone = named.or_else(|| by_name("*"))?;
        let stands_for = self.faults.collisions.get(key).map_or(key, String::as_str);
        // Kong's red-black tree is searched by this number alone.
        Some((zone, format!("{:08x}", crc32fast::hash(stands_for.as_bytes()))))
    }

    fn touch(&mut self, key: &Key) {
        self.stamp += 1;
        let stamp = self.stamp;
        if let Some(entry) = self.entries.get_mut(key) {
            let queue = slab::queue(entry.cost);
            self.order.remove(&(entry.zone, queue, entry.used));
            entry.used = stamp;
            self.order.insert((entry.zone, queue, stamp), key.clone());
        }
    }

    fn take(&mut self, key: &Key) -> Option<Entry> {
        let entry = self.entries.remove(key)?;
        self.order.remove(&(entry.zone, slab::queue(entry.cost), entry.used));
        if let Some((_, used)) = self.zones.get_mut(entry.zone) {
            *used = used.saturating_sub(entry.cost);
        }
        Some(entry)
    }

    fn put(&mut self, key: Key, mut entry: Entry) {
        self.stamp += 1;
        entry.used = self.stamp;
        if let Some((_, used)) = self.zones.get_mut(entry.zone) {
            *used += entry.cost;
        }
        self.order.insert((entry.zone, slab::queue(entry.cost), entry.used), key.clone());
        self.entries.insert(key, entry);
    }

    fn set_like_kong(&mut self, key: Key, key_len: usize, value: Option<&[u8]>, cas: u32) -> Write {
        let found = self.entries.get(&key);
        if cas != found.map_or(0, |entry| entry.cas) {
            return Write::CasMismatch;
        }
        let Some(value) = value else {
            // Deleting what is not there reports a mismatch too.
            return if self.take(&key).is_some() { Write::Written } else { Write::CasMismatch };
        };
        // A value that is not longer is written in place: no allocation, so nothing is evicted.
        let in_place = found.is_some_and(|entry| value.len() <= entry.value.len());
        let cost = slab::cost(key_len, value.len());
        if !in_place && !self.make_room(&key, cost) {
            return Write::Trap("failed setting value to shm (could not write to slab)");
        }
        let old = self.take(&key);
        let cost = old.as_ref().filter(|_| in_place).map_or(cost, |entry| entry.cost);
        let zone = key.0;
        let (previous, cas) = old.map_or((Vec::new(), 0), |entry| (entry.value, entry.cas));
        // A key that was deleted and made again starts at 1 once more.
        self.put(key, Entry { zone, value: value.to_vec(), previous, cas: cas.wrapping_add(1), cost, used: 0 });
        Write::Written
    }

    fn set_like_envoy(&mut self, key: Key, value: &[u8], cas: u32) -> Write {
        let old = self.take(&key);
        if let Some(entry) = old
            && cas != 0
            && cas != entry.cas
        {
            self.put(key, entry);
            return Write::CasMismatch;
        }
        self.next_cas = self.next_cas.wrapping_add(1).max(1);
        let cas = self.next_cas;
        let zone = key.0;
        self.put(key, Entry { zone, value: value.to_vec(), previous: Vec::new(), cas, cost: 0, used: 0 });
        Write::Written
    }

    /// Evicts until an entry of `cost` fits. False when it cannot.
    fn make_room(&mut self, key: &Key, cost: usize) -> bool {
        let zone_index = key.0;
        let Some((zone, _)) = self.zones.get(zone_index) else { return false };
        let (capacity, eviction) = (slab::capacity(zone.size), zone.eviction);
        let mut pretend_full = self.faults.full_zones.contains(&zone.name);
        loop {
            let used = self.zones.get(zone_index).map_or(0, |(_, used)| *used);
            if used + cost <= capacity && !pretend_full {
                return true;
            }
            let Some(victim) = self.victim(zone_index, eviction, cost) else { return false };
            self.take(&victim);
            pretend_full = false;
        }
    }

    fn victim(&self, zone: usize, eviction: Eviction, cost: usize) -> Option<Key> {
        let oldest = |from: u32, to: u32| {
            self.order.range((zone, from, 0)..=(zone, to, u64::MAX)).min_by_key(|((_, _, used), _)| *used)
        };
        let queue = slab::queue(cost);
        let found = match eviction {
            Eviction::None => None,
            Eviction::Lru => oldest(0, u32::MAX),
            Eviction::Slru => {
                // The range is ordered by queue, so its first is the oldest of the nearest size that has any.
                let larger = self.order.range((zone, queue, 0)..=(zone, u32::MAX, u64::MAX)).next();
                larger.or_else(|| {
                    let nearest = self.order.range((zone, 0, 0)..(zone, queue, 0)).next_back()?.0.1;
                    self.order.range((zone, nearest, 0)..=(zone, nearest, u64::MAX)).next()
                })
            }
        };
        found.map(|(_, key)| key.clone())
    }

    /// Another worker wrote in between: the entry gets a CAS nobody here has seen.
    fn other_writer(&mut self, key: &Key, key_len: usize, value: Option<&[u8]>) {
        self.next_cas = self.next_cas.wrapping_add(1);
        let next = self.next_cas;
        if let Some(entry) = self.entries.get_mut(key) {
            entry.cas = entry.cas.wrapping_add(1).max(next);
        } else {
            let value = value.unwrap_or_default().to_vec();
            let cost = if key.0 == usize::MAX { 0 } else { slab::cost(key_len, value.len()) };
            self.put(key.clone(), Entry { zone: key.0, value, previous: Vec::new(), cas: 1, cost, used: 0 });
        }
    }

    pub(crate) fn evict(&mut self, profile: Profile, key: &str) -> bool {
        self.resolve(profile, key).is_some_and(|key| self.take(&key).is_some())
    }

    pub(crate) fn evict_all(&mut self) {
        self.entries.clear();
        self.order.clear();
        for (_, used) in &mut self.zones {
            *used = 0;
        }
    }

    /// Bytes of all values.
    pub(crate) fn bytes(&self) -> usize {
        self.entries.values().map(|entry| entry.value.len()).sum()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}
