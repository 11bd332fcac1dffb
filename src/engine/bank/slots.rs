//! Which pack has which entry. Pure.

use std::sync::{Arc, Weak};

/// Keeps an entry where it is.
pub(super) type Pin = Arc<()>;

/// Entries from 1 on, each of one pack; the least recently used leaves first, one that a batch reads never does.
pub(super) struct Slots<T> {
    capacity: usize,
    entries: Vec<Entry<T>>,
    clock: u64,
}

struct Entry<T> {
    /// Whose entry it is. The address is not given to another pack as long as this lives.
    pack: Weak<T>,
    pin: Pin,
    used: u64,
}

/// An entry for a pack.
pub(super) struct Placed {
    /// Its number.
    pub(super) slot: usize,
    /// What keeps it.
    pub(super) pin: Pin,
    /// Whether it has yet to be filled.
    pub(super) is_new: bool,
}

impl<T> Slots<T> {
    /// Room for so many packs.
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, entries: Vec::new(), clock: 0 }
    }

    /// Most entries.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Entries of packs that are not gone, once these have one too.
    pub(super) fn held_with(&self, packs: &[&Arc<T>]) -> usize {
        let known =
            |pack: &&&Arc<T>| self.entries.iter().any(|entry| entry.pack.as_ptr() == Arc::as_ptr(pack));
        let live = self.entries.iter().filter(|entry| entry.pack.strong_count() > 0).count();
        live + packs.iter().filter(|pack| !known(pack)).count()
    }

    /// The entry of a pack; none when every entry is being read.
    pub(super) fn place(&mut self, pack: &Arc<T>) -> Option<Placed> {
        self.clock += 1;
        let clock = self.clock;
        let known = self.entries.iter().position(|entry| entry.pack.as_ptr() == Arc::as_ptr(pack));
        if let Some(index) = known {
            let entry = &mut self.entries[index];
            entry.used = clock;
            return Some(Placed { slot: index + 1, pin: Arc::clone(&entry.pin), is_new: false });
        }
        let pin = Pin::default();
        let entry = Entry { pack: Arc::downgrade(pack), pin: Arc::clone(&pin), used: clock };
        let index = match self.victim() {
            Some(index) => {
                self.entries[index] = entry;
                index
            }
            None if self.entries.len() < self.capacity => {
                self.entries.push(entry);
                self.entries.len() - 1
            }
            None => return None,
        };
        Some(Placed { slot: index + 1, pin, is_new: true })
    }

    /// Forgets whose an entry is, when it could not be filled.
    pub(super) fn forget(&mut self, slot: usize) {
        if let Some(entry) = self.entries.get_mut(slot.wrapping_sub(1)) {
            entry.pack = Weak::new();
            entry.used = 0;
        }
    }

    /// An entry to give away: of a pack that is gone, or, when all are taken, the one unused for longest.
    fn victim(&self) -> Option<usize> {
        let free = |entry: &Entry<T>| Arc::strong_count(&entry.pin) == 1;
        let gone = self.entries.iter().position(|entry| entry.pack.strong_count() == 0 && free(entry));
        if gone.is_some() || self.entries.len() < self.capacity {
            return gone;
        }
        let entries = self.entries.iter().enumerate().filter(|(_, entry)| free(entry));
        entries.min_by_key(|(_, entry)| entry.used).map(|(index, _)| index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pack_unused_for_longest_leaves_and_one_that_is_read_does_not() {
        let packs: Vec<Arc<u8>> = (0..4).map(Arc::new).collect();
        let mut slots = Slots::new(2);
        let mut place =
            |i: usize| slots.place(&packs[i]).map(|placed| (placed.slot, placed.is_new, placed.pin));
        let (first, is_new, pin) = place(0).unwrap();
        assert!(is_new && place(1).unwrap().0 != first);
        assert_eq!((place(0).unwrap().0, place(0).unwrap().1), (first, false));
        let (third, is_new, other) = place(2).unwrap();
        assert!(third != first && is_new, "the second was used before the first");
        assert!(place(3).is_none(), "both are being read");
        drop(pin);
        assert_eq!(place(3).unwrap().0, first);
        drop(other);
    }

    #[test]
    fn a_pack_that_is_gone_leaves_before_any_other() {
        let mut slots = Slots::new(2);
        let (old, gone) = (Arc::new(1), Arc::new(2));
        slots.place(&old);
        let place = slots.place(&gone).unwrap().slot;
        drop(gone);
        let new = slots.place(&Arc::new(3)).unwrap();
        assert!(new.slot == place && new.is_new && !slots.place(&old).unwrap().is_new);
    }

    #[test]
    fn an_entry_that_could_not_be_filled_is_filled_again() {
        let mut slots = Slots::new(2);
        let pack = Arc::new(1);
        let slot = slots.place(&pack).unwrap().slot;
        slots.forget(slot);
        assert!(slots.place(&pack).unwrap().is_new);
    }
}
