//! What is published.

use super::error::Error;
use super::handle::Service;
use crate::backbone::Precision;
use crate::catalog::{self, TaskStatus};
use crate::pack::{self, Manifest, TaskId};
use crate::tenants::Caller;

/// Tasks by name, some at a time.
#[derive(Debug)]
pub struct Page {
    /// The tasks.
    pub tasks: Vec<TaskStatus>,
    /// The task after which the next page begins; none on the last.
    pub next: Option<TaskId>,
}

/// All about one task.
#[derive(Debug)]
pub struct TaskDetails {
    /// What the catalog knows.
    pub status: TaskStatus,
    /// The manifest of the live version, or of the one that was asked for.
    pub manifest: Option<Manifest>,
    /// What this server's backbone multiplies in.
    pub served_precision: Precision,
    /// Why its answers may differ from those of its training.
    pub warning: Option<String>,
    /// Whether nothing proves that the backbone is the one the live version was trained on.
    pub is_base_unverified: bool,
}

impl Service {
    /// Up to `limit` tasks after `after` that the caller may know of, by name.
    pub fn page(&self, caller: &Caller, after: Option<&TaskId>, limit: usize) -> Page {
        // One more than asked tells whether there is a next page.
        let (catalog, beginnings) = (&self.shared.catalog, caller.beginnings());
        let mut tasks =
            catalog.page(after, limit.saturating_add(1), &beginnings, |task| caller.may_see(task));
        let more = tasks.len() > limit;
        tasks.truncate(limit);
        let next = tasks.last().filter(|_| more).map(|status| status.task.clone());
        Page { tasks: tasks.into_iter().map(|status| self.told_status(status)).collect(), next }
    }

    /// What the catalog knows about one task, without a look at the disk. A store is asked for a task that it does not know.
    ///
    /// # Errors
    /// When there is no such task, or the caller may not know of it.
    pub async fn status(&self, caller: &Caller, task: &TaskId) -> Result<TaskStatus, Error> {
        self.known(caller, task).await.map(|status| self.told_status(status))
    }

    async fn known(&self, caller: &Caller, task: &TaskId) -> Result<TaskStatus, Error> {
        caller.asks(task);
        if !caller.may_see(task) {
            return Err(self.unknown(task));
        }
        self.learn(caller, task).await.map_err(|error| self.reload_error(&error))?;
        self.shared.catalog.status(task).ok_or_else(|| self.unknown(task))
    }

    /// All about one task.
    ///
    /// # Errors
    /// When there is no such task, or the caller may not know of it.
    pub async fn show(&self, caller: &Caller, task: &TaskId) -> Result<TaskDetails, Error> {
        let status = self.known(caller, task).await?;
        let live = status.live;
        Ok(self.details(status, live).await)
    }

    /// As [`Service::show`], with the manifest of a version that need not be live.
    ///
    /// # Errors
    /// As [`Service::show`].
    pub async fn show_version(
        &self,
        caller: &Caller,
        task: &TaskId,
        version: u64,
    ) -> Result<TaskDetails, Error> {
        Ok(self.details(self.known(caller, task).await?, Some(version)).await)
    }

    /// Whether a task has a version, live or not. Whether the caller may know of the task was asked before.
    ///
    /// # Errors
    /// When the task's folder cannot be listed.
    pub async fn has_version(&self, task: &TaskId, version: u64) -> Result<bool, Error> {
        let catalog = &self.shared.catalog;
        let failed = |e: std::io::Error| catalog::Error::Folder {
            path: catalog.root().to_owned(),
            reason: e.to_string(),
        };
        let listed = catalog.versions(task).await.map_err(failed);
        Ok(listed.map_err(|error| self.catalog_error(&error))?.contains(&version))
    }

    async fn details(&self, status: TaskStatus, version: Option<u64>) -> TaskDetails {
        let manifest = self.manifest(&status, version).await;
        let served_precision = self.shared.engine.precision();
        let warning = manifest.as_ref().and_then(|manifest| warning(manifest, served_precision));
        let unproved = |manifest: &Manifest| manifest.provenance.details.get(pack::BASE_UNVERIFIED).cloned();
        let is_base_unverified = manifest.as_ref().and_then(unproved).is_some_and(|told| told == true);
        let status = self.told_status(status);
        TaskDetails { status, manifest, served_precision, warning, is_base_unverified }
    }

    /// The manifest of a version: from memory, or from disk if nobody has called the task yet.
    async fn manifest(&self, status: &TaskStatus, version: Option<u64>) -> Option<Manifest> {
        let (version, task) = (version?, &status.task);
        if status.live == Some(version)
            && let Some(pack) = self.shared.catalog.served(task).await
        {
            return Some(pack.manifest.clone());
        }
        let read =
            self.shared.catalog.read_version(task, version, |_, folder, _| pack::read_manifest(folder));
        // A broken manifest is told by the task's failure; the rest of the answer stands.
        read.await.ok()
    }

    fn told_status(&self, mut status: TaskStatus) -> TaskStatus {
        let failure = status.failure.as_mut().map(|failure| &mut failure.reason);
        for text in [failure, status.kept.as_mut(), status.rewritten.as_mut()].into_iter().flatten() {
            *text = self.told(text);
        }
        status
    }
}

/// Present when a pack was trained at another precision, or with another image decoder.
fn warning(manifest: &Manifest, served: Precision) -> Option<String> {
    let trained = manifest.precision;
    let mismatch =
        || format!("trained at {trained}, served at {served}: its accuracy may differ from the recorded one");
    let told = [(trained != served).then(mismatch), manifest.decoder_warning()];
    told.into_iter().flatten().reduce(|one, other| format!("{one}; {other}"))
}
