//! Where a key's value is, when keys with the same CRC32 are one entry.
//!
//! A key has four places, itself and `#1` to `#3` after it, and its value is in the first that holds it. What another key holds is
//! passed over, so that two keys never write over each other. A value is only ever *made* after all places were looked at.

use crate::host::{Expect, SharedData, StoreFailed, WriteError};
use crate::record::{Checksum, Opened, READS, checksum_of, open, seal};
use std::borrow::Cow;

/// Places of a key.
const PLACES: u8 = 4;

/// A place of a key, as it was when it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    number: u8,
    expect: Expect,
}

/// What is stored under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// A value, here.
    Value(Place),
    /// Nothing; a value may be put here.
    Absent(Place),
    /// Something that is no value and stays so: damaged, of an unreadable format, or being written all the time. A value may be put
    /// here: whoever writes while somebody else does loses by the version, so that this undoes nobody's write.
    Damaged(Place),
}

impl Found {
    /// Where the value is, or where to put one.
    pub(crate) fn place(self) -> Place {
        match self {
            Self::Value(place) | Self::Absent(place) | Self::Damaged(place) => place,
        }
    }
}

impl Place {
    /// Writes a value here if nobody else did since this place was looked at.
    ///
    /// # Errors
    /// [`WriteError`].
    pub(crate) fn write(self, store: &dyn SharedData, key: &str, payload: &[u8]) -> Result<Checksum, WriteError> {
        let at = at(key, self.number);
        let sealed = seal(&at, payload);
        store.set(&at, &sealed, self.expect).map(|()| checksum_of(&sealed))
    }
}

fn at(key: &str, number: u8) -> Cow<'_, str> {
    if number == 0 { Cow::Borrowed(key) } else { Cow::Owned(format!("{key}#{number}")) }
}

/// Finds the value of `key`, again where it came out torn. `read` takes a payload and its checksum, and says whether it can be read.
///
/// # Errors
/// [`StoreFailed`] when the host fails, and when other keys hold all places.
pub(crate) fn find(
    store: &dyn SharedData,
    key: &str,
    read: &mut dyn FnMut(&[u8], Checksum) -> bool,
) -> Result<Found, StoreFailed> {
    for _ in 1..READS {
        let (found, is_torn) = look(store, key, read)?;
        if !is_torn {
            return Ok(found);
        }
    }
    look(store, key, read).map(|(found, _)| found)
}

/// Looks once, and tells whether something was there that may have been torn: the value may well be in it.
fn look(
    store: &dyn SharedData,
    key: &str,
    read: &mut dyn FnMut(&[u8], Checksum) -> bool,
) -> Result<(Found, bool), StoreFailed> {
    let (mut torn, mut free) = (None, None);
    for number in 0..PLACES {
        let at = at(key, number);
        let Some(stored) = store.get(&at)? else {
            free.get_or_insert(Found::Absent(Place { number, expect: Expect::Absent }));
            continue;
        };
        let place = Place { number, expect: Expect::Version(stored.version) };
        match open(&at, &stored.bytes) {
            Opened::Payload(payload) if read(payload, checksum_of(&stored.bytes)) => {
                return Ok((Found::Value(place), false));
            }
            Opened::Payload(_) | Opened::Foreign => {
                free.get_or_insert(Found::Damaged(place));
            }
            Opened::Torn => {
                torn.get_or_insert(Found::Damaged(place));
            }
            Opened::OtherKey { .. } => {}
        }
    }
    torn.or(free).map(|found| (found, torn.is_some())).ok_or(StoreFailed)
}
