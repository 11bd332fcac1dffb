//! What tasks did, counted for whoever may know of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::pack::TaskId;
use crate::reload::Pinned;

/// Tasks counted before those that are gone are looked for.
const TASKS: usize = 1024;

/// How often, and how long altogether.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Phase {
    /// How often.
    pub count: u64,
    /// How long.
    pub time: Duration,
}

impl Phase {
    pub(super) fn add(&mut self, time: Duration) {
        self.count += 1;
        self.time += time;
    }
}

/// What a version of a task did.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// The version.
    pub version: u64,
    /// When it last answered, from the epoch.
    pub last: Duration,
    /// Requests that were answered.
    pub success: Phase,
    /// Requests that were not, once their body had come.
    pub fail: Phase,
    /// Decoding and resizing of rows' images.
    pub decode: Phase,
    /// Waits of rows for their batches.
    pub queue: Phase,
    /// Runs of batches, counted once for each row.
    pub run: Phase,
    /// The same by the rows of the batch.
    pub batches: BTreeMap<usize, Phase>,
    /// Batches, each counted by the task's part of it.
    pub shares: f64,
}

impl Tally {
    /// The same without what batches tell, which have others' rows too.
    #[must_use]
    pub fn without_batches(self) -> Self {
        let none = Phase::default();
        let success = Phase { count: self.success.count, ..none };
        Self { queue: none, run: none, batches: BTreeMap::new(), shares: 0.0, success, ..self }
    }
}

/// The tallies of all tasks.
#[derive(Default)]
pub(super) struct Tallies(Mutex<HashMap<TaskId, Tally>>);

impl Tallies {
    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<TaskId, Tally>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the tally of a version. A new version begins one of its own.
    pub(super) fn change(
        &self,
        task: &Pinned,
        gone: impl Fn(&TaskId) -> bool,
        change: impl FnOnce(&mut Tally),
    ) {
        let mut all = self.lock();
        if !all.contains_key(&task.task) && all.len() >= TASKS {
            all.retain(|task, _| !gone(task));
        }
        let tally = all.entry(task.task.clone()).or_default();
        if tally.version != task.version {
            *tally = Tally { version: task.version, ..Tally::default() };
        }
        change(tally);
    }
}
