//! What the routes of a worker share.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

/// Values by key, each once, for as long as a route uses it. There are few of them, and they are only looked up when a route is made: a
/// list is enough, and half the code of a map.
pub(crate) struct SharedPool<K, V>(RefCell<Vec<(K, Weak<V>)>>);

impl<K, V> Default for SharedPool<K, V> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<K: PartialEq, V> SharedPool<K, V> {
    /// The thing that some route uses already, or a new one.
    pub(crate) fn get(&self, key: K, make: impl FnOnce() -> Rc<V>) -> Rc<V> {
        let mut known = self.0.borrow_mut();
        known.retain(|(_, thing)| thing.strong_count() > 0);
        if let Some(thing) = known.iter().find(|(other, _)| *other == key).and_then(|(_, thing)| thing.upgrade()) {
            return thing;
        }
        let thing = make();
        known.push((key, Rc::downgrade(&thing)));
        thing
    }

    /// How many are remembered, those among them that no route uses any more.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.borrow().len()
    }

    /// Whether any that some route uses is like this.
    pub(crate) fn has(&self, is_like: impl Fn(&V) -> bool) -> bool {
        self.0.borrow().iter().filter_map(|(_, thing)| thing.upgrade()).any(|thing| is_like(&thing))
    }

    /// All that some route uses.
    pub(crate) fn in_use(&self) -> Vec<Rc<V>> {
        self.0.borrow().iter().filter_map(|(_, thing)| thing.upgrade()).collect()
    }
}
