//! Which losses of a listing are believed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::pack::TaskId;

/// Losses of no more tasks than this are believed at once, however few there are in all.
const FEW: usize = 3;

/// When a loss is believed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    /// Largest share of all tasks that may be lost at once, 0 to 1.
    pub(super) share: f64,
    /// How long more than that must stay lost.
    pub(super) again: Duration,
}

/// How a look bears on the losses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// The folder is the one that was listed before.
    Same,
    /// Another folder stands in its place, or an empty one: nothing is believed without a confirmation.
    Other,
    /// Somebody who knows has confirmed what stands there.
    Confirmed,
}

/// Tasks, or their live versions, that are published and not in the folder.
#[derive(Debug, Default)]
pub(super) struct Losses(BTreeMap<TaskId, Instant>);

impl Losses {
    /// Takes in one look: what it lacks, and what it has. Gives the losses to be believed; those are forgotten here.
    pub(super) fn judge(
        &mut self,
        (lost, found): (&BTreeSet<TaskId>, &BTreeSet<TaskId>),
        (tasks, is_whole): (usize, bool),
        (trust, policy): (Trust, Policy),
        now: Instant,
    ) -> BTreeSet<TaskId> {
        self.0.retain(|task, _| !found.contains(task));
        for task in lost {
            self.0.entry(task.clone()).or_insert(now);
        }
        let is_small = self.0.len() <= FEW || self.0.len() as f64 <= policy.share * tasks as f64;
        let is_believed = |since: Instant| match trust {
            Trust::Confirmed => true,
            Trust::Other => false,
            Trust::Same => is_small || (is_whole && now >= since + policy.again),
        };
        let believed = self.0.iter().filter(|(_, since)| is_believed(**since));
        let believed: BTreeSet<TaskId> = believed.map(|(task, _)| task.clone()).collect();
        self.0.retain(|task, _| !believed.contains(task));
        believed
    }

    /// When a whole look can settle what is doubtful.
    pub(super) fn due(&self, policy: Policy) -> Option<Instant> {
        self.0.values().max().map(|since| *since + policy.again)
    }

    /// Tasks kept though they are lost.
    pub(super) fn held(&self) -> impl Iterator<Item = &TaskId> {
        self.0.keys()
    }

    /// Whether a task is.
    pub(super) fn is_held(&self, task: &TaskId) -> bool {
        self.0.contains_key(task)
    }

    /// How many.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }
}
