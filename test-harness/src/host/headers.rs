//! Header lists and their wire form in the ABI.

/// Header names and values in order; names may repeat.
pub type HeaderPairs = Vec<(String, Vec<u8>)>;

/// Kong marshals at most this many pairs.
const KONG_MAX_PAIRS: usize = 100;

/// Request headers nginx has a slot of its own for: a pointer to the first line, which stays when the line is removed. Kong cannot
/// add a second of these, and sets and removes the first line only.
const NGINX_SLOTS: &[&str] = &[
    "host",
    "connection",
    "if-modified-since",
    "if-unmodified-since",
    "if-match",
    "if-none-match",
    "user-agent",
    "referer",
    "content-length",
    "content-type",
    "range",
    "if-range",
    "transfer-encoding",
    "expect",
    "upgrade",
    "accept-encoding",
    "via",
    "authorization",
    "keep-alive",
    "x-real-ip",
];

/// Whether nginx has a slot for that request header.
pub(crate) fn has_nginx_slot(name: &str) -> bool {
    NGINX_SLOTS.iter().any(|slot| slot.eq_ignore_ascii_case(name))
}

#[derive(Clone, Debug)]
struct Entry {
    name: String,
    value: Vec<u8>,
    /// Removed. Kong's module takes a line's hash away and leaves it where it is: not listed, but found by name, and, in a
    /// request, sent.
    removed: bool,
}

impl Entry {
    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// A header list that a filter edits.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeaderMap {
    entries: Vec<Entry>,
}

impl HeaderMap {
    pub(crate) fn from_pairs(pairs: HeaderPairs) -> Self {
        let entries = pairs.into_iter().map(|(name, value)| Entry { name, value, removed: false }).collect();
        Self { entries }
    }

    fn live(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| !entry.removed)
    }

    pub(crate) fn len(&self) -> usize {
        self.live().count()
    }

    /// What a filter lists.
    pub(crate) fn to_pairs(&self) -> HeaderPairs {
        self.live().map(|entry| (entry.name.clone(), entry.value.clone())).collect()
    }

    /// What nginx sends upstream: its proxy module does not look at a line's hash, so removed ones go out, too.
    pub(crate) fn lines_even_removed(&self) -> HeaderPairs {
        self.entries.iter().map(|entry| (entry.name.clone(), entry.value.clone())).collect()
    }

    /// Kong's look-up: the first of the name, even when it has been removed. The module does not look at the hash here.
    pub(crate) fn first_even_removed(&self, name: &str) -> Option<Vec<u8>> {
        self.entries.iter().find(|entry| entry.is(name)).map(|entry| entry.value.clone())
    }

    /// The first of the name that is listed.
    pub(crate) fn first(&self, name: &str) -> Option<Vec<u8>> {
        self.live().find(|entry| entry.is(name)).map(|entry| entry.value.clone())
    }

    /// Envoy's look-up: all of the name, joined with a comma.
    pub(crate) fn joined(&self, name: &str) -> Option<Vec<u8>> {
        self.join(|entry| entry.is(name), b",")
    }

    /// nginx's `$http_` variable: all lines of the name, in which a dash is an underscore.
    pub(crate) fn variable(&self, name: &str) -> Option<Vec<u8>> {
        let separator: &[u8] = if name == "cookie" { b"; " } else { b", " };
        self.join(|entry| entry.name.replace('-', "_").eq_ignore_ascii_case(name), separator)
    }

    fn join(&self, wanted: impl Fn(&Entry) -> bool, separator: &[u8]) -> Option<Vec<u8>> {
        let mut values = self.live().filter(|entry| wanted(entry));
        let mut joined = values.next()?.value.clone();
        for entry in values {
            joined.extend_from_slice(separator);
            joined.extend_from_slice(&entry.value);
        }
        Some(joined)
    }

    pub(crate) fn count(&self, name: &str) -> usize {
        self.live().filter(|entry| entry.is(name)).count()
    }

    pub(crate) fn add(&mut self, name: &str, value: &[u8]) {
        self.entries.push(Entry { name: name.to_owned(), value: value.to_vec(), removed: false });
    }

    /// Replaces the first of the name, removes the others, adds it when there is none.
    pub(crate) fn set(&mut self, name: &str, value: &[u8]) {
        let mut found = false;
        for entry in self.entries.iter_mut().filter(|entry| !entry.removed && entry.is(name)) {
            if found {
                entry.removed = true;
            } else {
                entry.value = value.to_vec();
                found = true;
            }
        }
        if !found {
            self.add(name, value);
        }
    }

    /// Kong's way to set a header: overwrites the first that is listed, adds one when none is. Where there are several,
    /// the module's search for the others begins anew after each and finds the first as well: all of them are as good as removed.
    pub(crate) fn set_like_kong(&mut self, name: &str, value: &[u8]) {
        let several = self.count(name) > 1;
        let mut lines = self.entries.iter_mut().filter(|entry| !entry.removed && entry.is(name));
        match lines.next() {
            Some(first) => first.value = value.to_vec(),
            None => return self.add(name, value),
        }
        if several {
            self.remove(name);
        }
    }

    /// Kong's way to set a header that nginx has a slot for: the line there is overwritten, and listed again.
    pub(crate) fn set_slot(&mut self, name: &str, value: &[u8]) {
        match self.entries.iter_mut().find(|entry| entry.is(name)) {
            Some(entry) => {
                entry.value = value.to_vec();
                entry.removed = false;
            }
            None => self.add(name, value),
        }
    }

    pub(crate) fn remove(&mut self, name: &str) {
        for entry in self.entries.iter_mut().filter(|entry| entry.is(name)) {
            entry.removed = true;
        }
    }

    /// Kong's way to remove a header that nginx has a slot for: the line there, and no other.
    pub(crate) fn remove_slot(&mut self, name: &str) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.is(name)) {
            entry.removed = true;
        }
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}

fn pair_size(pair: &(String, Vec<u8>)) -> usize {
    8 + pair.0.len() + 1 + pair.1.len() + 1
}

fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes()
}

/// The ABI's form of a map: a count, the lengths of each name and value, then the bytes with a zero after each.
pub(crate) fn marshal(pairs: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(4 + pairs.iter().map(pair_size).sum::<usize>());
    out.extend_from_slice(&length(pairs.len()));
    for (name, value) in pairs {
        out.extend_from_slice(&length(name.len()));
        out.extend_from_slice(&length(value.len()));
    }
    for (name, value) in pairs {
        out.extend_from_slice(name.as_bytes());
        out.push(0);
        out.extend_from_slice(value);
        out.push(0);
    }
    out
}

/// Kong's form of a map, and whether it was cut.
///
/// Past [`KONG_MAX_PAIRS`] the size is taken from the first hundred listed headers and one pseudo-header, while what
/// is written are all pseudo-headers and then as many listed ones as fit: the two disagree. A buffer too short ends
/// early here, where the real host writes past it; either way the SDK's decoder runs off the end it was told.
pub(crate) fn marshal_for_kong(pseudo: &[(String, Vec<u8>)], list: &[(String, Vec<u8>)]) -> (Vec<u8>, bool) {
    let written: Vec<_> = pseudo.iter().chain(list).take(KONG_MAX_PAIRS).cloned().collect();
    let truncated = pseudo.len() + list.len() > KONG_MAX_PAIRS;
    let mut out = marshal(&written);
    if truncated {
        let listed = list.len().min(KONG_MAX_PAIRS);
        let pseudo_counted = KONG_MAX_PAIRS - listed + 1;
        let size = list.iter().take(listed).chain(pseudo.iter().take(pseudo_counted)).map(pair_size).sum::<usize>() + 4;
        out.resize(size, 0);
    }
    (out, truncated)
}

/// Reads a map from its ABI form. `None` when the lengths do not fit the bytes.
pub(crate) fn unmarshal(bytes: &[u8]) -> Option<HeaderPairs> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let word = |at: usize| -> Option<usize> {
        let word: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(word)).ok()
    };
    let count = word(0)?;
    let mut at = count.checked_mul(8)?.checked_add(4)?;
    if at > bytes.len() {
        return None;
    }
    let mut pairs = Vec::with_capacity(count);
    for index in 0..count {
        let lengths = 4 + index * 8;
        let (name_len, value_len) = (word(lengths)?, word(lengths + 4)?);
        let name = bytes.get(at..at.checked_add(name_len)?)?;
        at += name_len + 1;
        let value = bytes.get(at..at.checked_add(value_len)?)?;
        at += value_len + 1;
        pairs.push((String::from_utf8_lossy(name).into_owned(), value.to_vec()));
    }
    Some(pairs)
}
