//! A request's way to a pack, read from disk if it is cold.

use std::sync::Arc;

use super::error::Error;
use super::status::{FailureKind, Resolved, Served, VersionRead};
use super::table::Catalog;
use crate::pack::{self, Pack, TaskId, VersionState};

/// Said of a version that was read before and differs when it is read again.
const REWRITTEN: &str = "its files are others than those published; they are served since it was read again";

impl Catalog {
    /// The live version of a task with its pack, read from disk if it is not in memory.
    ///
    /// # Errors
    /// [`Error::UnknownTask`]; [`Error::OutOfReach`] and [`Error::Pack`] when the pack is cold and cannot be read, or is
    /// wrong; [`Error::NoWorkingVersion`].
    pub async fn resolve(&self, task: &TaskId) -> Result<Resolved, Error> {
        loop {
            let live = self.live_or_why(task)?;
            let entry = self.packs.entry((task.clone(), live)).or_try_insert_with(self.load(task, live));
            let reason = match entry.await {
                Ok(entry) => {
                    let is_fresh = entry.is_fresh();
                    if is_fresh {
                        self.recovered(task, live);
                        self.hold(task, live, entry.value().bytes()).await;
                    } else {
                        self.holdings.used(&(task.clone(), live));
                    }
                    return Ok(Resolved { version: live, pack: entry.into_value(), is_fresh });
                }
                Err(reason) => reason,
            };
            let is_out_of_reach = self.is_out_of_reach(task, live, &reason).await;
            // A newer version may have gone live, and this one's folder gone, while we were reading.
            if self.live(task) != Some(live) {
                continue;
            }
            if is_out_of_reach {
                if self.keep_live(task, live, &format!("version {live} cannot be read: {reason}")) {
                    tracing::error!(%task, version = live, %reason, "cannot be read; it stays live");
                    self.metrics.packs.folder_errors.with_label_values(&["version"]).inc();
                }
                return Err(Error::OutOfReach { task: task.clone(), version: live, reason });
            }
            if !self.step_back(task, live, FailureKind::of(&reason), &reason.to_string()).await {
                return Err(Error::Pack { task: task.clone(), version: live, reason });
            }
        }
    }

    /// A version of a task, live or not, with its pack, read from disk if it is not in memory. One that is not live and does
    /// not work changes nothing.
    ///
    /// # Errors
    /// As [`Catalog::resolve`], and [`Error::NoSuchVersion`].
    pub async fn resolve_version(&self, task: &TaskId, version: u64) -> Result<Resolved, Error> {
        // A store may have a task of which nothing is meant to answer yet.
        let is_known = || self.store().is_some_and(|store| store.known(task).is_some());
        if !self.contains(task) && !is_known() {
            return Err(Error::UnknownTask(task.to_string()));
        }
        if self.is_unloaded(task) {
            return Err(Error::Unloaded(task.clone()));
        }
        let listed = self.versions(task).await;
        let failed = |e: std::io::Error| Error::Folder { path: self.root.clone(), reason: e.to_string() };
        if !listed.map_err(failed)?.contains(&version) {
            return Err(Error::NoSuchVersion { task: task.clone(), version });
        }
        let held = (task.clone(), version);
        let read = self.packs.entry(held.clone()).or_try_insert_with(self.load(task, version)).await;
        let entry = read.map_err(|reason| {
            let task = task.clone();
            match reason.is_of_reading() {
                true => Error::OutOfReach { task, version, reason },
                false => Error::Pack { task, version, reason },
            }
        })?;
        let is_fresh = entry.is_fresh();
        if is_fresh {
            self.hold(task, version, entry.value().bytes()).await;
        } else {
            self.holdings.used(&held);
        }
        Ok(Resolved { version, pack: entry.into_value(), is_fresh })
    }

    /// Whether the failure says nothing about the version: the system failed, or its whole folder is gone. The watcher,
    /// which sees all of the folder, decides what that means.
    async fn is_out_of_reach(&self, task: &TaskId, version: u64, reason: &pack::Error) -> bool {
        if reason.is_of_reading() {
            return true;
        }
        if !matches!(reason, pack::Error::Io { .. }) {
            return false;
        }
        let (disk, folder) = (Arc::clone(&self.disk), self.folder(task, version));
        let state = tokio::task::spawn_blocking(move || VersionState::of(&*disk, &folder)).await;
        !matches!(state, Ok(Ok(state)) if state.has_folder())
    }

    /// Clears what was wrong with the live version: it has been read.
    fn recovered(&self, task: &TaskId, live: u64) {
        let mut tasks = self.write();
        if let Some(entry) = tasks.get_mut(task).filter(|entry| entry.live == Some(live)) {
            entry.failure = entry.failure.take().filter(|failure| failure.version != live);
            entry.kept = None;
        }
    }

    async fn load(&self, task: &TaskId, version: u64) -> Result<Arc<Pack>, pack::Error> {
        let read = self.read_version(task, version, |disk, folder, base| {
            let state = VersionState::of(disk, folder).map_err(pack::Error::io(folder))?;
            let (pack, _) = pack::read_with(disk, folder, base)?;
            Ok(VersionRead { pack: Arc::new(pack), state })
        });
        let VersionRead { pack, state } = read.await?;
        self.count_load(&pack);
        let digest = pack.digest.clone();
        let before = self.served_state(task).filter(|served| served.version == version);
        let other = before.is_some_and(|served| served.digest != digest).then(|| REWRITTEN.to_owned());
        self.looked_at(task, Served { version, digest, state }, other);
        Ok(pack)
    }
}
