//! What the routes of a worker have in common.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

/// Things by what tells them apart, each once, for as long as some route uses it.
pub(crate) struct Commons<K, V>(RefCell<BTreeMap<K, Weak<V>>>);

impl<K, V> Default for Commons<K, V> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<K: Ord, V> Commons<K, V> {
    /// The thing that some route uses already, or a new one.
    pub(crate) fn get(&self, key: K, make: impl FnOnce() -> Rc<V>) -> Rc<V> {
        let mut known = self.0.borrow_mut();
        if let Some(thing) = known.get(&key).and_then(Weak::upgrade) {
            return thing;
        }
        known.retain(|_, thing| thing.strong_count() > 0);
        let thing = make();
        known.insert(key, Rc::downgrade(&thing));
        thing
    }

    /// How many are remembered, those among them that no route uses any more.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.borrow().len()
    }

    /// Whether any that some route uses is like this.
    pub(crate) fn has(&self, is_like: impl Fn(&V) -> bool) -> bool {
        self.0.borrow().values().filter_map(Weak::upgrade).any(|thing| is_like(&thing))
    }

    /// All that some route uses.
    pub(crate) fn in_use(&self) -> Vec<Rc<V>> {
        self.0.borrow().values().filter_map(Weak::upgrade).collect()
    }
}
