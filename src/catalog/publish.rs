//! Versions that go live, and versions that go.

use std::path::Path;

use super::status::{Entry, Failure, FailureKind, Served, VersionRead};
use super::table::Catalog;
use crate::files::Disk;
use crate::pack::{self, TaskId};

/// Versions in a task's folder, ascending. Any other name is ignored.
///
/// # Errors
/// When the folder cannot be listed.
pub fn list_versions(disk: &dyn Disk, folder: &Path) -> std::io::Result<Vec<u64>> {
    let entries = disk.list(folder)?.into_iter().filter(|entry| entry.may_be_folder);
    let mut found: Vec<u64> = entries.filter_map(|entry| pack::parse_version(&entry.name)).collect();
    found.sort_unstable();
    Ok(found)
}

impl Catalog {
    /// Makes a read, checked and warmed version live. From here on, new requests get it.
    pub async fn publish(&self, task: &TaskId, version: u64, read: VersionRead) {
        let VersionRead { pack, state } = read;
        self.count_load(&pack);
        let served = Some(Served { version, digest: pack.digest.clone(), state });
        let bytes = pack.bytes();
        self.packs.insert((task.clone(), version), pack).await;
        self.hold(task, version, bytes).await;
        let before = {
            let mut tasks = self.write();
            // A newer version that failed is still shown.
            let failure = tasks.get(task).and_then(|entry| entry.failure.clone());
            let failure = failure.filter(|failure| failure.version > version);
            // One that a rollback left behind is not gone back to.
            let before = tasks.get(task).and_then(|entry| entry.live).filter(|before| *before < version);
            tasks.insert(task.clone(), Entry { served, before, failure, ..Entry::of(version) })
        };
        self.owned.changed();
        self.metrics.packs.tasks.set(self.published() as i64);
        // The old version's pack goes from memory as soon as its last request is answered.
        if let Some(old) = before.and_then(|entry| entry.live).filter(|&old| old != version) {
            self.packs.invalidate(&(task.clone(), old)).await;
        }
    }

    /// Records that a version could not be published; what is live stays live.
    pub fn fail(&self, task: &TaskId, failure: Failure) {
        self.write().entry(task.clone()).or_default().failure = Some(failure);
        self.lock_doubtful().insert(task.clone());
    }

    /// Unpublishes a task; requests that hold its pack finish.
    pub async fn remove(&self, task: &TaskId) {
        let removed = self.write().remove(task);
        self.owned.changed();
        if let Some(live) = removed.and_then(|entry| entry.live) {
            self.packs.invalidate(&(task.clone(), live)).await;
        }
        self.metrics.packs.tasks.set(self.published() as i64);
        self.metrics.forget_task(task.as_str());
    }

    /// Withdraws a live version that does not give its stored answers: the next older one becomes live, or none.
    pub async fn withdraw(&self, task: &TaskId, broken: u64, reason: &str) {
        if !self.step_back(task, broken, FailureKind::Broken, reason).await {
            if let Some(entry) = self.write().get_mut(task).filter(|entry| entry.live == Some(broken)) {
                entry.live = None;
            }
            self.owned.changed();
            self.metrics.packs.tasks.set(self.published() as i64);
        }
        self.packs.invalidate(&(task.clone(), broken)).await;
    }

    /// Records that the live version of a task does not work, and makes the next older one live. So a broken newest
    /// version never hides a working older one, not even after a restart. Does nothing where another version is live by
    /// now, or the task is gone. Returns whether there is something else to try.
    pub(super) async fn step_back(
        &self,
        task: &TaskId,
        broken: u64,
        kind: FailureKind,
        reason: &str,
    ) -> bool {
        let failure = Failure { version: broken, kind, reason: reason.to_owned() };
        let (known, before) = match self.write().get_mut(task).filter(|entry| entry.live == Some(broken)) {
            Some(entry) => (entry.failure.replace(failure.clone()), entry.before),
            None => return true,
        };
        // A task's only version is read again at each request; it is logged once.
        if known.as_ref() != Some(&failure) {
            tracing::error!(%task, version = broken, %reason, "the live version does not work");
            self.metrics.packs.pack_reloads.with_label_values(&["failed"]).inc();
        }
        self.lock_doubtful().insert(task.clone());
        let Some(older) = self.older(task, broken, before).await else { return false };
        if let Some(entry) = self.write().get_mut(task).filter(|entry| entry.live == Some(broken)) {
            *entry = Entry { failure: entry.failure.take(), ..Entry::of(older) };
        }
        true
    }

    /// The version that answers in place of a broken one: the next older. Where labels say what answers, only the one
    /// that was live `before`: another may never have been meant to answer.
    async fn older(&self, task: &TaskId, broken: u64, before: Option<u64>) -> Option<u64> {
        let versions = self.versions(task).await.ok()?;
        if self.store.is_some() || self.has_labels(task).await {
            return before.filter(|before| versions.contains(before));
        }
        versions.into_iter().rev().find(|&version| version < broken)
    }
}
