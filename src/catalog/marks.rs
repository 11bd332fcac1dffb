//! What the watcher of the folder of packs notes about tasks.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use super::status::{Failure, Served};
use super::table::Catalog;
use crate::pack::{Pack, TaskId};

impl Catalog {
    /// Records that a task stays as it was, and why. Returns whether that is news.
    pub fn keep(&self, task: &TaskId, reason: &str) -> bool {
        let mut tasks = self.write();
        let entry = tasks.entry(task.clone()).or_default();
        let is_news = entry.kept.as_deref() != Some(reason);
        if is_news {
            entry.kept = Some(reason.to_owned());
        }
        is_news
    }

    /// As [`keep`](Self::keep), unless another version has gone live or the task is gone: a request that saw the old
    /// state must not bring it back.
    pub(super) fn keep_live(&self, task: &TaskId, live: u64, reason: &str) -> bool {
        let mut tasks = self.write();
        let entry = tasks.get_mut(task).filter(|entry| entry.live == Some(live));
        let Some(entry) = entry.filter(|entry| entry.kept.as_deref() != Some(reason)) else { return false };
        entry.kept = Some(reason.to_owned());
        true
    }

    /// Records that a task's folder can be read again.
    pub fn keep_no_more(&self, task: &TaskId) {
        if self.read().get(task).is_none_or(|entry| entry.kept.is_none()) {
            return;
        }
        if let Some(entry) = self.write().get_mut(task) {
            entry.kept = None;
        }
    }

    /// Records which versions a task has: a failure of one that is gone is no longer shown.
    pub fn has_versions(&self, task: &TaskId, versions: &[u64]) {
        let is_gone = |failure: &Failure| versions.binary_search(&failure.version).is_err();
        if self.read().get(task).is_none_or(|entry| !entry.failure.as_ref().is_some_and(is_gone)) {
            return;
        }
        if let Some(entry) = self.write().get_mut(task) {
            entry.failure = None;
        }
    }

    /// Looks at up to `limit` tasks after `after`. Returns those whose pack is in memory, with what was read, and where to
    /// go on.
    pub fn resident(&self, after: Option<&TaskId>, limit: usize) -> (Vec<(TaskId, Served)>, Option<TaskId>) {
        let from = after.map_or(Bound::Unbounded, |task| Bound::Excluded(task.clone()));
        let tasks = self.read();
        let (mut found, mut last) = (Vec::new(), None);
        for (task, entry) in tasks.range((from, Bound::Unbounded)).take(limit) {
            let served = entry.served.as_ref().filter(|served| Some(served.version) == entry.live);
            found.extend(
                served
                    .filter(|served| self.packs.contains_key(&(task.clone(), served.version)))
                    .map(|served| (task.clone(), served.clone())),
            );
            last = Some(task.clone());
        }
        (found, last)
    }

    /// Up to `limit` tasks after `after`, and where to go on; none at the end.
    pub fn known_after(&self, after: Option<&TaskId>, limit: usize) -> (Vec<TaskId>, Option<TaskId>) {
        let from = after.map_or(Bound::Unbounded, |task| Bound::Excluded(task.clone()));
        let tasks = self.read();
        let known = tasks.range((from, Bound::Unbounded)).take(limit).map(|(task, _)| task.clone());
        let known: Vec<TaskId> = known.collect();
        let last = known.last().filter(|_| known.len() == limit).cloned();
        (known, last)
    }

    /// Records how the files of a live version look now, and whether they differ from those that were read.
    pub fn looked_at(&self, task: &TaskId, served: Served, rewritten: Option<String>) {
        let mut tasks = self.write();
        let Some(entry) = tasks.get_mut(task).filter(|entry| entry.live == Some(served.version)) else {
            return;
        };
        if let Some(reason) = rewritten.as_ref().filter(|_| entry.rewritten.is_none()) {
            tracing::error!(%task, version = served.version, %reason, "a live version was rewritten");
            self.metrics.packs.packs_rewritten.inc();
        }
        (entry.served, entry.rewritten) = (Some(served), rewritten);
    }

    /// The pack that is served, if it is in memory.
    pub async fn served(&self, task: &TaskId) -> Option<Arc<Pack>> {
        let live = self.live(task)?;
        self.packs.get(&(task.clone(), live)).await
    }

    /// The files of a live version as they were read.
    pub fn served_state(&self, task: &TaskId) -> Option<Served> {
        self.read().get(task).and_then(|entry| entry.served.clone())
    }

    /// Drops a version's pack from memory; the next request reads it again.
    pub async fn forget(&self, task: &TaskId, version: u64) {
        self.packs.invalidate(&(task.clone(), version)).await;
    }

    /// Takes the tasks to look at again.
    pub fn take_doubtful(&self) -> BTreeSet<TaskId> {
        std::mem::take(&mut *self.lock_doubtful())
    }
}
