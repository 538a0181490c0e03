//! Where a key's value is, when keys with the same CRC32 are one entry.
//!
//! A key has four places, itself and `#1` to `#3` after it, and its value is in the first that holds it. A place that others
//! hold is passed over, and once passed over it may become free again, so that a value is only ever *made* after all places
//! were looked at; reading one that is there costs a read for each place before it, which nearly always is none.

use super::StoreFault;
use crate::host::{Expect, SharedData};
use crate::record::{Opened, READS, open};

/// Places of a key.
const SLOTS: usize = 4;

/// A key's value, or where to put it.
#[derive(Debug)]
pub(super) struct Place {
    /// The key to write under.
    pub at: String,
    /// What must still hold then.
    pub expect: Expect,
    /// The value's payload; `None` when it is yet to be made, or torn.
    pub held: Option<Vec<u8>>,
    /// Whether something is there that came out torn each time: the value may well be in it. Its version is older than its
    /// bytes, so that a write loses and the value is read again; only what is damaged for good is written over.
    pub is_torn: bool,
}

/// Finds the value of `key`. `is_known` tells whether a payload can be read; another version's is left where it is. `is_free`
/// tells whether the value of another key may be written over.
///
/// # Errors
/// [`StoreFault::Unavailable`] when the host fails, [`StoreFault::Collision`] when others hold all places.
pub(super) fn find(
    store: &dyn SharedData,
    key: &str,
    is_known: &dyn Fn(&[u8]) -> bool,
    is_free: &dyn Fn(&str, &[u8]) -> bool,
) -> Result<Place, StoreFault> {
    let mut place = look(store, key, is_known, is_free)?;
    for _ in 1..READS {
        if place.is_torn {
            place = look(store, key, is_known, is_free)?;
        }
    }
    Ok(place)
}

fn look(
    store: &dyn SharedData,
    key: &str,
    is_known: &dyn Fn(&[u8]) -> bool,
    is_free: &dyn Fn(&str, &[u8]) -> bool,
) -> Result<Place, StoreFault> {
    let (mut torn, mut free) = (None, None);
    for slot in 0..SLOTS {
        let at = if slot == 0 { key.to_owned() } else { format!("{key}#{slot}") };
        let Some(stored) = store.get(&at).map_err(|_| StoreFault::Unavailable)? else {
            free.get_or_insert(Place { at, expect: Expect::Absent, held: None, is_torn: false });
            continue;
        };
        let expect = Expect::Version(stored.version);
        match open(&at, &stored.bytes) {
            Opened::Payload(payload) if is_known(payload) => {
                return Ok(Place { at, expect, held: Some(payload.to_vec()), is_torn: false });
            }
            Opened::OtherKey { key, payload } if is_free(key, payload) => {
                free.get_or_insert(Place { at, expect, held: None, is_torn: false });
            }
            Opened::Torn => {
                torn.get_or_insert(Place { at, expect, held: None, is_torn: true });
            }
            Opened::Payload(_) | Opened::OtherKey { .. } | Opened::Foreign => {}
        }
    }
    torn.or(free).ok_or(StoreFault::Collision)
}
