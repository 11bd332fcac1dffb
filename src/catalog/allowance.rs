//! How much of the catalog the owner of tasks may take.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

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

/// Why a task is not live, as whoever may see it is told. The owner's name and number are its own.
pub const OVER_LIMIT: &str = "its owner has as many tasks as it may have";

/// An owner that has as many tasks as it may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OverLimit {
    /// The owner.
    pub owner: Arc<str>,
    /// How many those are.
    pub most: usize,
}

/// Longest time that numbers of tasks are kept: owners may be others by then.
const KEPT: Duration = Duration::from_secs(5);

/// Numbers of live tasks by owner, counted again when a task has come or gone.
#[derive(Default)]
pub(super) struct Owned(Mutex<Option<Counted>>);

struct Counted {
    at: Instant,
    tasks: HashMap<Arc<str>, usize>,
}

impl Owned {
    /// How many an owner has.
    pub(super) fn count(&self, owner: &str, all: impl FnOnce() -> HashMap<Arc<str>, usize>) -> usize {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = counts.as_ref().is_some_and(|counted| counted.at.elapsed() < KEPT);
        if !is_fresh {
            *counts = Some(Counted { at: Instant::now(), tasks: all() });
        }
        counts.as_ref().and_then(|counted| counted.tasks.get(owner).copied()).unwrap_or_default()
    }

    /// One more task of an owner is live.
    pub(super) fn one_more(&self, allowance: Option<Allowance>) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((counts, allowance)) = counts.as_mut().zip(allowance) {
            *counts.tasks.entry(allowance.owner).or_default() += 1;
        }
    }

    /// A task has come or gone, or owners are others.
    pub(super) fn changed(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
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
        self.went(held);
        let Some(Allowance { owner, bytes: limit, .. }) = allowance else { return Vec::new() };
        let mut state = self.lock();
        state.clock += 1;
        let now = state.clock;
        state.of.insert(held.clone(), Arc::clone(&owner));
        let packs = state.owners.entry(owner).or_default();
        packs.insert(held.clone(), Use { bytes, last: now });
        let Some(limit) = limit else { return Vec::new() };
        let mut total: u64 = packs.values().map(|used| used.bytes).sum();
        let mut others: Vec<(Held, Use)> = packs
            .iter()
            .filter(|(pack, _)| *pack != held)
            .map(|(pack, used)| (pack.clone(), *used))
            .collect();
        others.sort_by_key(|(_, used)| used.last);
        let mut going = Vec::new();
        for (pack, used) in others {
            if total <= limit {
                break;
            }
            total -= used.bytes;
            going.push(pack);
        }
        drop(state);
        // Whether they are in memory still or not, they count no more.
        going.iter().for_each(|pack| self.went(pack));
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
