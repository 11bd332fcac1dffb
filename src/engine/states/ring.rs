//! Which state lies in which entry. Pure.

use std::collections::HashMap;
use std::hash::Hash;
use std::ops::Range;
use std::sync::atomic::{Ordering, fence};
use std::sync::{Arc, Weak};

/// Keeps entries as they are.
pub(super) type Pin = Arc<()>;

/// Entries that are filled one behind the other, and again from the first: what was filled longest ago goes. One that is
/// being read, or filled, is passed over.
pub(super) struct Ring<K> {
    entries: Vec<Entry<K>>,
    places: HashMap<K, usize>,
    next: usize,
}

struct Entry<K> {
    key: Option<K>,
    pin: Weak<()>,
}

impl<K: Clone + Eq + Hash> Ring<K> {
    /// So many entries, empty.
    pub(super) fn new(capacity: usize) -> Self {
        let entries = (0..capacity).map(|_| Entry { key: None, pin: Weak::new() }).collect();
        Self { entries, places: HashMap::new(), next: 0 }
    }

    /// Entries that there are.
    pub(super) fn capacity(&self) -> usize {
        self.entries.len()
    }

    /// Whether an entry has this name.
    pub(super) fn holds(&self, key: &K) -> bool {
        self.places.contains_key(key)
    }

    /// The entry of this name, which stays as it is while the pin lives.
    pub(super) fn find(&mut self, key: &K) -> Option<(usize, Pin)> {
        let place = *self.places.get(key)?;
        let entry = self.entries.get_mut(place)?;
        let pin = entry.pin.upgrade().unwrap_or_default();
        entry.pin = Arc::downgrade(&pin);
        Some((place, pin))
    }

    /// So many entries side by side, which lose their names; none where what is read leaves no such room.
    pub(super) fn take(&mut self, count: usize) -> Option<(Range<usize>, Vec<Pin>)> {
        let range = self.free(count)?;
        let pins: Vec<Pin> = range.clone().map(|_| Pin::default()).collect();
        for (entry, pin) in self.entries[range.clone()].iter_mut().zip(&pins) {
            entry.pin = Arc::downgrade(pin);
            if let Some(key) = entry.key.take() {
                self.places.remove(&key);
            }
        }
        self.next = range.end;
        Some((range, pins))
    }

    /// Names an entry that was filled. Another one that had the name is nobody's.
    pub(super) fn name(&mut self, place: usize, key: K) {
        let Some(entry) = self.entries.get_mut(place) else { return };
        entry.key = Some(key.clone());
        if let Some(before) = self.places.insert(key, place).filter(|before| *before != place) {
            self.entries[before].key = None;
        }
    }

    /// The next entries side by side that nobody reads or fills.
    fn free(&self, count: usize) -> Option<Range<usize>> {
        let capacity = self.capacity();
        let (mut start, mut passed) = (self.next, 0);
        while count <= capacity && passed <= capacity {
            if start + count > capacity {
                passed += capacity - start;
                start = 0;
                continue;
            }
            let is_busy = |place: &usize| self.entries[*place].pin.strong_count() > 0;
            match (start..start + count).rev().find(is_busy) {
                None => {
                    // Whoever read them last is done with that before what follows.
                    fence(Ordering::Acquire);
                    return Some(start..start + count);
                }
                Some(busy) => {
                    passed += busy + 1 - start;
                    start = busy + 1;
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn entries_are_filled_in_turn_and_the_oldest_goes() {
        let mut ring = Ring::new(5);
        for (keys, range) in [([1, 2], 0..2), ([3, 4], 2..4), ([5, 6], 0..2)] {
            let (taken, _pins) = ring.take(2).unwrap();
            assert_eq!(taken, range);
            taken.zip(keys).for_each(|(place, key)| ring.name(place, key));
        }
        assert_eq!([1, 2, 3, 4, 5, 6].map(|key| ring.holds(&key)), [false, false, true, true, true, true]);
        assert_eq!(ring.find(&6).unwrap().0, 1);
        assert!(ring.take(6).is_none() && ring.find(&1).is_none());
    }

    #[test]
    fn what_is_read_is_passed_over() {
        let mut ring = Ring::new(5);
        let (_, filling) = ring.take(2).unwrap();
        ring.name(1, 'a');
        let (place, reading) = ring.find(&'a').unwrap();
        assert_eq!(place, 1);
        // Its neighbour is not read.
        drop(filling);
        assert_eq!(ring.take(3).unwrap().0, 2..5);
        assert_eq!(ring.take(1).unwrap().0, 0..1);
        assert_eq!(ring.take(3).unwrap().0, 2..5);
        assert!(ring.take(4).is_none() && ring.holds(&'a'));
        drop(reading);
        assert_eq!(ring.take(4).unwrap().0, 0..4);
        assert!(!ring.holds(&'a'));
    }

    #[test]
    fn one_name_has_one_entry() {
        let mut ring = Ring::new(3);
        ring.name(0, 'a');
        ring.name(2, 'a');
        assert_eq!((ring.find(&'a').unwrap().0, ring.places.len()), (2, 1));
        // The first is nobody's: taking it takes no name away.
        assert_eq!(ring.take(1).unwrap().0, 0..1);
        assert!(ring.holds(&'a'));
    }

    proptest! {
        #[test]
        fn no_pinned_entry_is_taken_and_every_name_leads_to_its_entry(
            capacity in 1usize..20,
            steps in prop::collection::vec((0u8..4, 1usize..8), 1..60),
        ) {
            let mut ring = Ring::new(capacity);
            let mut pinned: Vec<(Range<usize>, Vec<Pin>)> = Vec::new();
            let mut key = 0usize;
            for (step, amount) in steps {
                match step {
                    0 | 1 => {
                        let Some((range, pins)) = ring.take(amount.min(capacity)) else {
                            prop_assert!(!pinned.is_empty());
                            continue;
                        };
                        prop_assert!(range.end <= capacity && range.len() == amount.min(capacity));
                        let meets = |own: &Range<usize>| own.start < range.end && range.start < own.end;
                        prop_assert!(!pinned.iter().any(|(own, _)| meets(own)));
                        for place in range.clone() {
                            key += 1;
                            ring.name(place, key);
                            prop_assert_eq!(ring.find(&key).unwrap().0, place);
                        }
                        if step == 0 {
                            pinned.push((range, pins));
                        }
                    }
                    2 => drop((!pinned.is_empty()).then(|| pinned.remove(amount % pinned.len()))),
                    _ => {
                        let found = ring.find(&key.saturating_sub(amount));
                        pinned.extend(found.map(|(place, pin)| (place..place + 1, vec![pin])));
                    }
                }
                prop_assert!(ring.places.len() <= capacity);
            }
        }
    }
}
