//! Where a key's value is, when keys with the same CRC32 are one entry.
//!
//! A key has four places, itself and `#1` to `#3` after it, and its value is in the first that holds it. A place that others
//! hold is passed over, and once passed over it may become free again, so that a value is only ever *made* after all places
//! were looked at; reading one that is there costs a read for each place before it, which nearly always is none.

use super::StoreFault;
use crate::host::{Expect, SharedData};
use crate::record::{Opened, READS, open};
use std::borrow::Cow;

/// Rounds of a compare-and-swap loop before other workers are taken to have won for good.
pub(super) const ROUNDS: usize = 32;
/// Places of a key.
const SLOTS: usize = 4;

/// Where a key's value is, or where to put it.
#[derive(Debug)]
pub(super) struct Slot {
    slot: usize,
    /// What must still hold when it is written.
    pub expect: Expect,
    /// Whether something is there that came out torn each time: the value may well be in it. Its version is older than its
    /// bytes, so that a write loses and the value is read again; only what is damaged for good is written over.
    pub is_torn: bool,
}

impl Slot {
    /// The key to write under, for the `key` that was looked for.
    pub(super) fn at<'k>(&self, key: &'k str) -> Cow<'k, str> {
        at(key, self.slot)
    }
}

fn at(key: &str, slot: usize) -> Cow<'_, str> {
    if slot == 0 { Cow::Borrowed(key) } else { Cow::Owned(format!("{key}#{slot}")) }
}

/// Finds the value of `key`; there is none when it is yet to be made, or torn. `read` makes it of a payload; another version's,
/// which it cannot read, is left where it is. `is_free` tells whether the value of another key may be written over.
///
/// # Errors
/// [`StoreFault::Unavailable`] when the host fails, [`StoreFault::Collision`] when others hold all places.
pub(super) fn find<T>(
    store: &dyn SharedData,
    key: &str,
    read: impl Fn(&[u8]) -> Option<T>,
    is_free: impl Fn(&str, &[u8]) -> bool,
) -> Result<(Slot, Option<T>), StoreFault> {
    let mut found = look(store, key, &read, &is_free)?;
    for _ in 1..READS {
        if found.0.is_torn {
            found = look(store, key, &read, &is_free)?;
        }
    }
    Ok(found)
}

fn look<T>(
    store: &dyn SharedData,
    key: &str,
    read: &impl Fn(&[u8]) -> Option<T>,
    is_free: &impl Fn(&str, &[u8]) -> bool,
) -> Result<(Slot, Option<T>), StoreFault> {
    let (mut torn, mut free) = (None, None);
    for slot in 0..SLOTS {
        let at = at(key, slot);
        let place = |expect| Slot { slot, expect, is_torn: false };
        let Some(stored) = store.get(&at).map_err(|_| StoreFault::Unavailable)? else {
            free.get_or_insert(place(Expect::Absent));
            continue;
        };
        let expect = Expect::Version(stored.version);
        match open(&at, &stored.bytes) {
            Opened::Payload(payload) => {
                if let Some(value) = read(payload) {
                    return Ok((place(expect), Some(value)));
                }
            }
            Opened::OtherKey { key, payload } if is_free(key, payload) => {
                free.get_or_insert(place(expect));
            }
            Opened::Torn => {
                torn.get_or_insert(Slot { is_torn: true, ..place(expect) });
            }
            Opened::OtherKey { .. } | Opened::Foreign => {}
        }
    }
    torn.or(free).map(|place| (place, None)).ok_or(StoreFault::Collision)
}
