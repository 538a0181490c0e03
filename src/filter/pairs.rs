//! All headers of a request in one call, read where the host put them.
//!
//! The SDK makes two allocations for each header, of which a request needs a handful, and panics at a name that is not UTF-8.

use crate::bytes::is_same;

/// The host's list: the number of headers, two sizes for each, then names and values with a zero after each; numbers are of 32
/// bits, the lowest byte first.
pub(super) struct Pairs(Vec<u8>);

impl Pairs {
    /// The headers of the request at hand; `None` where the host does not give them.
    pub(super) fn of_request() -> Option<Self> {
        host::request_headers().map(Self)
    }

    /// Name and value of each header line, in the order in which they came.
    pub(super) fn lines(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.headers().map_while(|header| Some((header.name()?, header.value()?)))
    }

    /// The values under a lower-case name, a line each.
    pub(super) fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        // Most differ in length, and are told apart by it; hosts give most in lower case.
        let name = name.as_bytes();
        let like = self.headers().filter(move |header| header.name_len == name.len());
        let is_named = move |found: &[u8]| is_same(found, name) || found.eq_ignore_ascii_case(name);
        like.filter(move |header| header.name().is_some_and(is_named)).filter_map(|header| header.value())
    }

    fn headers(&self) -> impl Iterator<Item = Header<'_>> {
        let (sizes, texts) = split(&self.0).unwrap_or_default();
        let mut end = 0_usize;
        sizes.iter().map(move |[name, value]| {
            let header = Header { texts, start: end, name_len: length(*name), value_len: length(*value) };
            end = end.wrapping_add(header.name_len).wrapping_add(header.value_len).wrapping_add(2);
            header
        })
    }
}

/// Where a header should be. That it is there is looked at when it is read.
struct Header<'a> {
    texts: &'a [u8],
    start: usize,
    name_len: usize,
    value_len: usize,
}

impl<'a> Header<'a> {
    fn name(&self) -> Option<&'a [u8]> {
        self.texts.get(self.start..)?.get(..self.name_len)
    }

    fn value(&self) -> Option<&'a [u8]> {
        self.texts.get(self.start..)?.get(self.name_len.checked_add(1)?..)?.get(..self.value_len)
    }
}

/// A size as it stands in the list.
type Size = [u8; 4];

/// The sizes of names and values, and all of these.
fn split(list: &[u8]) -> Option<(&[[Size; 2]], &[u8])> {
    let (count, rest) = list.split_first_chunk()?;
    let (sizes, texts) = rest.split_at_checked(length(*count).checked_mul(8)?)?;
    Some((sizes.as_chunks().0.as_chunks().0, texts))
}

fn length(size: Size) -> usize {
    usize::try_from(u32::from_le_bytes(size)).unwrap_or(usize::MAX)
}

#[allow(unsafe_code, reason = "the SDK has this host call only with its own reading of the list")]
mod host {
    use std::ptr::null_mut;

    const REQUEST_HEADERS: u32 = 0;
    const OK: u32 = 0;

    #[link(wasm_import_module = "env")]
    unsafe extern "C" {
        fn proxy_get_header_map_pairs(map: u32, list: *mut *mut u8, size: *mut usize) -> u32;
    }

    pub(super) fn request_headers() -> Option<Vec<u8>> {
        let (mut list, mut size) = (null_mut(), 0);
        // SAFETY: the host writes an address and a size, for which there is room until it returns.
        let status = unsafe { proxy_get_header_map_pairs(REQUEST_HEADERS, &raw mut list, &raw mut size) };
        if status != OK {
            return None;
        }
        if list.is_null() {
            return Some(Vec::new());
        }
        // SAFETY: the host has asked the SDK's `proxy_on_memory_allocate` for `size` bytes, which made a vector with that room
        // and forgot it, and has filled them.
        Some(unsafe { Vec::from_raw_parts(list, size, size) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn list(pairs: &[(&[u8], &[u8])]) -> Vec<u8> {
        let number = |number: usize| u32::try_from(number).unwrap().to_le_bytes();
        let sizes = pairs.iter().flat_map(|(name, value)| [number(name.len()), number(value.len())].concat());
        let texts = pairs.iter().flat_map(|(name, value)| [*name, b"\0", value, b"\0"].concat());
        number(pairs.len()).into_iter().chain(sizes).chain(texts).collect()
    }

    #[test]
    fn names_and_values_are_read_as_they_came() {
        let list = Pairs(list(&[(b":method", b"GET"), (b"A", b""), (b"a", b"\xff\0"), (b"\xfe", b"x")]));
        assert_eq!(list.lines().map(|(name, _)| name).collect::<Vec<_>>(), [&b":method"[..], b"A", b"a", b"\xfe"]);
        assert_eq!(list.values("a").collect::<Vec<_>>(), [&b""[..], b"\xff\0"]);
        assert_eq!(list.values(":method").collect::<Vec<_>>(), [b"GET"]);
        assert_eq!(list.values("b").count(), 0);
    }

    #[test]
    fn what_is_not_there_is_not_read() {
        let whole = list(&[(b"a", b"1"), (b"b", b"2")]);
        let mut more = whole.clone();
        more[0] = 200;
        let mut longer = whole.clone();
        longer[16] = 200;
        for (list, lines, values) in
            [(more, 0, 0), (longer, 1, 0), (whole[..whole.len() - 2].to_vec(), 1, 0), (Vec::new(), 0, 0)]
        {
            let list = Pairs(list);
            assert_eq!((list.lines().count(), list.values("b").count()), (lines, values));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(bytes: Vec<u8>, count: u8) {
            let mut list = vec![count, 0, 0, 0];
            list.extend(&bytes);
            for list in [Pairs(bytes), Pairs(list)] {
                let _ = (list.lines().count(), list.values("").count());
            }
        }
    }
}
