//! A bounded map that forgets what was not used lately.

use std::{collections::HashMap, hash::Hash, mem};

/// Two generations: what is used moves to the younger one; when that is full, the older one is forgotten.
///
/// It holds at most `2 × generation` entries after [`Cache::trim`], and grows freely between two trims, so that the
/// caller chooses a moment when nothing in it is needed.
#[derive(Debug)]
pub(super) struct Cache<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    generation: usize,
}

impl<K: Eq + Hash, V> Cache<K, V> {
    /// `generation` is the number of entries at which the younger generation becomes the older one.
    pub(super) fn new(generation: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), generation }
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        if let Some((key, value)) = self.old.remove_entry(key) {
            self.young.insert(key, value);
        }
        self.young.get_mut(key)
    }

    /// Looks without marking the entry as used.
    pub(super) fn peek(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        self.old.remove(&key);
        self.young.insert(key, value);
    }

    pub(super) fn remove(&mut self, key: &K) {
        self.young.remove(key);
        self.old.remove(key);
    }

    pub(super) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }

    /// Forgets the older generation if the younger one is full; answers whether anything was forgotten.
    pub(super) fn trim(&mut self) -> bool {
        if self.young.len() < self.generation {
            return false;
        }
        let forgotten = mem::replace(&mut self.old, mem::take(&mut self.young));
        !forgotten.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_is_forgotten() {
        let mut cache = Cache::new(2);
        cache.insert("a", 1);
        cache.insert("b", 2);
        assert!(!cache.trim(), "the first generation only grows old");
        assert_eq!(cache.get_mut(&"a").copied(), Some(1));
        cache.insert("c", 3);
        assert!(cache.trim());
        assert_eq!(cache.peek(&"a"), Some(&1));
        assert_eq!(cache.peek(&"b"), None);
        assert_eq!(cache.peek(&"c"), Some(&3));
    }

    #[test]
    fn an_entry_that_is_written_again_has_one_value() {
        let mut cache = Cache::new(1);
        cache.insert("a", 1);
        cache.trim();
        cache.insert("a", 2);
        assert_eq!(cache.get_mut(&"a").copied(), Some(2));
        cache.remove(&"a");
        assert_eq!(cache.peek(&"a"), None);
    }
}
