//! How much of a shared memory zone an entry takes.

/// nginx's page.
const PAGE: usize = 4096;
/// What the key/value store keeps beside key and value: tree node, queue node, lengths and CAS.
const NODE: usize = 104;
/// Pages a zone spends on its own tables before the first entry.
const RESERVED_PAGES: usize = 2;

/// Bytes the slab allocator hands out for an entry: a power of two up to half a page, whole pages above.
pub(crate) fn cost(key: usize, value: usize) -> usize {
    let wanted = NODE + key + value;
    if wanted > PAGE / 2 { wanted.next_multiple_of(PAGE) } else { wanted.next_power_of_two() }
}

/// Bytes a zone of `size` has for entries.
pub(crate) fn capacity(size: usize) -> usize {
    size.saturating_sub(RESERVED_PAGES * PAGE)
}

/// The queue an entry of that cost waits in for eviction under `slru`: one a slot size, one for everything larger.
pub(crate) fn queue(cost: usize) -> u32 {
    if cost > PAGE / 2 { u32::MAX } else { cost.checked_ilog2().unwrap_or(0) }
}
