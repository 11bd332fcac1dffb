//! How much of the catalog the owner of tasks may take.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::pack::TaskId;

/// What a task's owner may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// The owner's name.
    pub owner: Arc<str>,
    /// Most of its tasks that are published.
    pub tasks: Option<usize>,
    /// Most memory of its packs, bytes.
    pub bytes: Option<u64>,
}

/// Knows the owners of tasks.
pub trait Allowances: Send + Sync {
    /// What the owner of a task may take; none where it has no owner.
    fn of(&self, task: &TaskId) -> Option<Allowance>;
}

/// Nobody owns anything.
pub struct Unlimited;

impl Allowances for Unlimited {
    fn of(&self, _: &TaskId) -> Option<Allowance> {
        None
    }
}

/// A version's pack in memory.
pub(super) type Held = (TaskId, u64);

/// The packs in memory of owners whose memory is limited, in the order of their last use.
#[derive(Default)]
pub(super) struct Holdings(Mutex<State>);

#[derive(Default)]
struct State {
    owners: HashMap<Arc<str>, HashMap<Held, Use>>,
    of: HashMap<Held, Arc<str>>,
    clock: u64,
}

#[derive(Clone, Copy)]
struct Use {
    bytes: u64,
    last: u64,
}

impl Holdings {
    /// Notes that a pack has come. Gives the owner's packs that must go to stay within its memory, least recently used
    /// first; never the new one, so an owner's single pack may be larger.
    pub(super) fn came(&self, held: &Held, bytes: u64, allowance: Option<Allowance>) -> Vec<Held> {
        let Some((owner, limit)) = allowance.and_then(|all| Some((all.owner, all.bytes?))) else {
            self.went(held);
            return Vec::new();
        };
        let mut state = self.lock();
        state.clock += 1;
        let now = state.clock;
        state.of.insert(held.clone(), Arc::clone(&owner));
        let packs = state.owners.entry(owner).or_default();
        packs.insert(held.clone(), Use { bytes, last: now });
        let mut total: u64 = packs.values().map(|used| used.bytes).sum();
        let mut others: Vec<_> = packs.iter().filter(|(pack, _)| *pack != held).collect();
        others.sort_by_key(|(_, used)| used.last);
        let mut going = Vec::new();
        for (pack, used) in others {
            if total <= limit {
                break;
            }
            total -= used.bytes;
            going.push(pack.clone());
        }
        going
    }

    /// Notes that a pack is used.
    pub(super) fn used(&self, held: &Held) {
        let mut state = self.lock();
        let State { owners, of, clock } = &mut *state;
        let Some(packs) = of.get(held).and_then(|owner| owners.get_mut(owner)) else { return };
        if let Some(used) = packs.get_mut(held) {
            *clock += 1;
            used.last = *clock;
        }
    }

    /// Notes that a pack has gone.
    pub(super) fn went(&self, held: &Held) {
        let mut state = self.lock();
        let Some(owner) = state.of.remove(held) else { return };
        if let Some(packs) = state.owners.get_mut(&owner) {
            packs.remove(held);
            if packs.is_empty() {
                state.owners.remove(&owner);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(name: &str) -> Held {
        (name.parse().unwrap(), 1)
    }

    fn allowance(bytes: u64) -> Option<Allowance> {
        Some(Allowance { owner: "a".into(), tasks: None, bytes: Some(bytes) })
    }

    #[test]
    fn the_owners_least_recently_used_packs_go() {
        let holdings = Holdings::default();
        for name in ["x", "y", "z"] {
            assert!(holdings.came(&held(name), 10, allowance(30)).is_empty());
        }
        holdings.used(&held("x"));
        assert_eq!(holdings.came(&held("w"), 15, allowance(30)), [held("y"), held("z")]);
        holdings.went(&held("y"));
        holdings.went(&held("z"));
        // Another owner's packs, and those of nobody, are not counted.
        assert!(holdings.came(&held("n"), 99, None).is_empty());
        assert_eq!(holdings.came(&held("v"), 99, allowance(30)), [held("x"), held("w")]);
    }
}
