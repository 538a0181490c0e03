//! Faults a test plans for a node's shared data.

use super::Node;

/// Makes a node's shared data misbehave, as memory shared between processes does now and then.
#[derive(Clone, Debug)]
pub struct Faults {
    node: Node,
}

impl Faults {
    pub(crate) fn new(node: Node) -> Self {
        Self { node }
    }

    /// Drops one entry, as eviction would. True when there was one.
    pub fn evict(&self, key: &str) -> bool {
        let profile = self.node.profile();
        self.node.shared().lock().evict(profile, key)
    }

    /// Drops every entry.
    pub fn evict_all(&self) {
        self.node.shared().lock().evict_all();
    }

    /// How many entries there are, for a test's own checks.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.node.shared().lock().len()
    }

    /// The next `count` reads find nothing, as if just evicted.
    pub fn lose_next_gets(&self, count: u32) {
        self.node.shared().lock().faults.lost_gets = count;
    }

    /// The next `count` writes trap, as in a full zone that evicts nothing.
    pub fn fail_next_sets(&self, count: u32) {
        self.node.shared().lock().faults.failed_sets = count;
    }

    /// Before each of the next `count` writes another worker writes the same key, so a CAS in hand is stale.
    pub fn lose_next_cas(&self, count: u32) {
        self.node.shared().lock().faults.lost_cas = count;
    }

    /// The next `count` reads that find something return half of it mixed with what was there before.
    pub fn tear_next_reads(&self, count: u32) {
        self.node.shared().lock().faults.torn_reads = count;
    }

    /// From now on `other` and `key` are one entry, as two keys of one CRC32 are on Kong. No effect on Envoy.
    pub fn collide(&self, key: &str, other: &str) {
        self.node.shared().lock().faults.collisions.insert(other.to_owned(), key.to_owned());
    }

    /// Makes a zone act as full: what needs memory evicts something first, or traps when the zone evicts nothing.
    pub fn fill_zone(&self, zone: &str) {
        self.node.shared().lock().faults.full_zones.push(zone.to_owned());
    }
}
