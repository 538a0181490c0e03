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
    /// Most bytes of tokens, and of what is remembered with them.
    pub bytes: usize,
}

impl CacheSize {
    /// Of the tokens that a worker accepts.
    pub const ACCEPTED: Self = Self { tokens: NonZeroUsize::new(10_000).unwrap(), bytes: 16 * 1024 * 1024 };
    /// Of signed tokens that it refuses.
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
    entries: Vec<CachedToken<T>>,
}

/// What is known of a token under an issuer's settings.
pub struct CachedToken<T> {
    /// The settings.
    pub issuer: IssuerId,
    /// When it was learned.
    pub learned: UnixMillis,
    /// Until when it is remembered.
    pub expires: UnixMillis,
    /// What it takes to remember it, in bytes, where that is more than goes with the size of a token.
    pub bytes: usize,
    /// What is known.
    pub known: Rc<T>,
}

impl<T> Token<T> {
    fn bytes(&self) -> usize {
        self.text.len() + self.entries.iter().map(|entry| entry.bytes).sum::<usize>()
    }
}

impl<T> TokenCache<T> {
    /// A cache of this size, without a token.
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

    /// Remembers a verified token.
    pub fn insert(&mut self, token: String, entry: CachedToken<T>) {
        let hash = self.hasher.hash_one(token.as_bytes());
        if let Some(known) = self.tokens.get_mut(&hash).filter(|known| known.text == token) {
            self.bytes -= known.bytes();
            known.entries.retain(|known| known.issuer != entry.issuer);
            known.entries.push(entry);
            self.bytes += known.bytes();
        } else {
            let token = Token { text: token, entries: vec![entry] };
            self.bytes += token.bytes();
            if let Some((_, evicted)) = self.tokens.push(hash, token) {
                self.bytes -= evicted.bytes();
            }
        }
        while self.bytes > self.max_bytes {
            let Some((_, evicted)) = self.tokens.pop_lru() else { break };
            self.bytes -= evicted.bytes();
        }
    }

    /// Puts something else in the place of what is known of a token, for as long as that was to be remembered, and at its size.
    pub fn replace(&mut self, token: &[u8], issuer: IssuerId, known: Rc<T>) {
        let hash = self.hasher.hash_one(token);
        let found = self.tokens.get_mut(&hash).filter(|known| is_same(known.text.as_bytes(), token));
        if let Some(entry) = found.and_then(|found| found.entries.iter_mut().find(|entry| entry.issuer == issuer)) {
            entry.known = known;
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

    fn entry<T>(issuer: IssuerId, (learned, expires): (u64, u64), bytes: usize, known: T) -> CachedToken<T> {
        CachedToken { issuer, learned: at(learned), expires: at(expires), bytes, known: Rc::new(known) }
    }

    #[test]
    fn a_token_is_known_under_its_settings_until_it_ends() {
        let mut cache = TokenCache::new(CacheSize::ACCEPTED);
        cache.insert("t".into(), entry(ONE, (5, 10), 0, 'a'));
        cache.insert("t".into(), entry(TWO, (5, 20), 0, 'b'));
        let mut get = |issuers: &[IssuerId], now| cache.get(b"t", issuers, at(now)).map(|(_, known)| *known);
        assert_eq!(get(&[ONE], 9), Some('a'));
        assert_eq!(get(&[ONE], 10), None);
        assert_eq!(get(&[TWO], 10), Some('b'));
        assert_eq!(get(&[], 6), None);
        assert_eq!(get(&[ONE], 4), None, "the clock stepped back");
    }

    #[test]
    fn number_and_bytes_are_bounded_and_the_least_recently_used_goes_first() {
        let mut cache = TokenCache::new(CacheSize::ACCEPTED);
        for n in 0..CacheSize::ACCEPTED.tokens.get() + 10 {
            cache.insert(format!("t{n}"), entry(ONE, (0, 10), 0, ()));
            cache.get(b"t0", &[ONE], at(1));
        }
        assert_eq!(cache.len(), CacheSize::ACCEPTED.tokens.get());
        assert!(cache.get(b"t0", &[ONE], at(1)).is_some());
        assert!(cache.get(b"t1", &[ONE], at(1)).is_none());
        for n in 0..600 {
            cache.insert(format!("{n}{}", "x".repeat(60_000)), entry(ONE, (0, 10), 0, ()));
        }
        assert!(cache.bytes <= CacheSize::ACCEPTED.bytes && cache.len() < 600);
        assert!(!cache.is_empty());
        // What is remembered with a token counts, as often as it is learned anew.
        for _ in 0..600 {
            cache.insert("big".into(), entry(TWO, (0, 10), 60_000, ()));
        }
        assert!(cache.len() > 200 && cache.get(b"big", &[TWO], at(1)).is_some());
        for n in 0..600 {
            cache.insert(format!("big{n}"), entry(ONE, (0, 10), 60_000, ()));
        }
        assert!((200..300).contains(&cache.len()), "{}", cache.len());
    }

    #[test]
    fn what_is_replaced_ends_when_it_would_have_ended() {
        let mut cache = TokenCache::new(CacheSize::ACCEPTED);
        cache.insert("t".into(), entry(ONE, (5, 10), 0, 'a'));
        cache.replace(b"t", ONE, Rc::new('b'));
        cache.replace(b"t", TWO, Rc::new('c'));
        cache.replace(b"u", ONE, Rc::new('d'));
        let mut get = |token: &[u8], now| cache.get(token, &[ONE, TWO], at(now)).map(|(_, known)| *known);
        assert_eq!([get(b"t", 9), get(b"t", 10), get(b"u", 9)], [Some('b'), None, None]);
    }
}
