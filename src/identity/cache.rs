//! Verified tokens, remembered: the hot path is one look-up here.

use crate::bytes::is_same;
use crate::config::IssuerId;
use crate::host::UnixMillis;
use foldhash::fast::RandomState;
use lru::LruCache;
use std::hash::BuildHasher;
use std::num::NonZeroUsize;
use std::rc::Rc;

/// How much is remembered.
#[derive(Debug, Clone, Copy)]
pub struct CacheSize {
    /// Most tokens.
    pub tokens: NonZeroUsize,
    /// Most bytes of tokens.
    pub bytes: usize,
}

impl CacheSize {
    /// Tokens that a worker lets in.
    pub const HELD: Self = Self { tokens: NonZeroUsize::new(10_000).unwrap(), bytes: 16 * 1024 * 1024 };
    /// Tokens whose signature holds and that are refused all the same.
    pub const REFUSED: Self = Self { tokens: NonZeroUsize::new(1_000).unwrap(), bytes: 2 * 1024 * 1024 };
}

/// What is known of verified tokens, least recently used first out, bounded in number and in bytes.
///
/// A token is looked up by its hash and then compared whole, so that no two tokens are ever taken for one another; of two that
/// have one hash the later one is remembered. A token may be known under several issuers' settings, for routes differ in
/// what they demand of it.
pub struct TokenCache<T> {
    tokens: LruCache<u64, Token<T>>,
    hasher: RandomState,
    bytes: usize,
    max_bytes: usize,
}

struct Token<T> {
    text: String,
    entries: Vec<Entry<T>>,
}

struct Entry<T> {
    issuer: IssuerId,
    expires: UnixMillis,
    learned: UnixMillis,
    known: Rc<T>,
}

impl<T> TokenCache<T> {
    /// Remembers so much.
    pub fn new(size: CacheSize) -> Self {
        Self { tokens: LruCache::new(size.tokens), hasher: RandomState::default(), bytes: 0, max_bytes: size.bytes }
    }

    /// What is known of a token under any of these settings, unless it has ended. A clock that stepped back to before the
    /// token was learned counts as not known, so that an ended token does not come back to life.
    pub fn get(&mut self, token: &[u8], issuers: &[IssuerId], now: UnixMillis) -> Option<(IssuerId, Rc<T>)> {
        let hash = self.hasher.hash_one(token);
        let known = self.tokens.get(&hash).filter(|known| is_same(known.text.as_bytes(), token))?;
        let entry = known.entries.iter().find(|entry| issuers.contains(&entry.issuer))?;
        (entry.learned <= now && now < entry.expires).then(|| (entry.issuer, entry.known.clone()))
    }

    /// Remembers a verified token until `expires`.
    pub fn insert(&mut self, token: String, issuer: IssuerId, now: UnixMillis, expires: UnixMillis, known: Rc<T>) {
        let entry = Entry { issuer, expires, learned: now, known };
        let hash = self.hasher.hash_one(token.as_bytes());
        if let Some(known) = self.tokens.get_mut(&hash).filter(|known| known.text == token) {
            known.entries.retain(|entry| entry.issuer != issuer);
            known.entries.push(entry);
            return;
        }
        self.bytes += token.len();
        if let Some((_, evicted)) = self.tokens.push(hash, Token { text: token, entries: vec![entry] }) {
            self.bytes -= evicted.text.len();
        }
        while self.bytes > self.max_bytes {
            let Some((_, evicted)) = self.tokens.pop_lru() else { break };
            self.bytes -= evicted.text.len();
        }
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: IssuerId = IssuerId([1; 16]);
    const TWO: IssuerId = IssuerId([2; 16]);

    fn at(millis: u64) -> UnixMillis {
        UnixMillis(millis)
    }

    #[test]
    fn a_token_is_known_under_its_settings_until_it_ends() {
        let mut cache = TokenCache::new(CacheSize::HELD);
        cache.insert("t".into(), ONE, at(5), at(10), Rc::new('a'));
        cache.insert("t".into(), TWO, at(5), at(20), Rc::new('b'));
        let mut get = |issuers: &[IssuerId], now| cache.get(b"t", issuers, at(now)).map(|(_, known)| *known);
        assert_eq!(get(&[ONE], 9), Some('a'));
        assert_eq!(get(&[ONE], 10), None);
        assert_eq!(get(&[TWO], 10), Some('b'));
        assert_eq!(get(&[], 6), None);
        assert_eq!(get(&[ONE], 4), None, "the clock stepped back");
    }

    #[test]
    fn number_and_bytes_are_bounded_and_the_least_recently_used_goes_first() {
        let mut cache = TokenCache::new(CacheSize::HELD);
        for n in 0..CacheSize::HELD.tokens.get() + 10 {
            cache.insert(format!("t{n}"), ONE, at(0), at(10), Rc::new(()));
            cache.get(b"t0", &[ONE], at(1));
        }
        assert_eq!(cache.len(), CacheSize::HELD.tokens.get());
        assert!(cache.get(b"t0", &[ONE], at(1)).is_some());
        assert!(cache.get(b"t1", &[ONE], at(1)).is_none());
        for n in 0..600 {
            cache.insert(format!("{n}{}", "x".repeat(60_000)), ONE, at(0), at(10), Rc::new(()));
        }
        assert!(cache.bytes <= CacheSize::HELD.bytes && cache.len() < 600);
        assert!(!cache.is_empty());
    }
}
