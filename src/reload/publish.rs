//! A version, from folder to live.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::attempts::Attempts;
use super::blocking::blocking;
use super::error::Error;
use super::reading::Reading;
use super::reloader::Reloader;
use super::survey::versions_now;
use crate::audit::{Event, Who};
use crate::catalog::{Failure, FailureKind, VersionRead};
use crate::engine;
use crate::pack::{Pack, TaskId, VersionState};
use crate::shelf::{Labels, LabelsError};

/// Why a task's newest version was not published.
struct Refused {
    /// The version, if there is one.
    version: Option<u64>,
    error: Error,
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self { version: None, error }
    }
}

impl Reloader {
    /// Publishes the newest version of `task` in the folder, even if it is live already or has failed before. It is noted
    /// who asked.
    ///
    /// # Errors
    /// The reason why the catalog was left as it was.
    pub async fn reload(&self, task: &TaskId, by: &Who) -> Result<u64, Error> {
        let reloaded = self.publish_newest(task, by).await;
        reloaded.map_err(|Refused { version, error }| {
            self.note_refused(by, task, version, &error);
            error
        })
    }

    /// Notes that what somebody asked to be published was not.
    pub(super) fn note_refused(&self, by: &Who, task: &TaskId, version: Option<u64>, error: &Error) {
        if error.is_of_store() {
            tracing::warn!(%task, version, %error, "not published");
        }
        let version = version.map_or(String::new(), |version| format!("version {version}: "));
        let reason = format!("{version}{error}");
        self.note(Some(by), &Event::RefusedPublish { task: task.to_string(), reason });
    }

    async fn publish_newest(&self, task: &TaskId, by: &Who) -> Result<u64, Refused> {
        // Before the lock is taken, which all publishing waits for.
        self.read_pointer(task).await?;
        let mut attempts = self.attempts.lock().await;
        let newest = self.wanted(task).await?;
        let state = self.state_of(task, newest).await;
        attempts.forget(task);
        let published = self.publish(task, (newest, state), &mut attempts, Some(by)).await;
        published.map(|()| newest).map_err(|error| Refused { version: Some(newest), error })
    }

    /// Reads the task's pointer and fetches the version that is to answer, where packs come from a store.
    pub(super) async fn read_pointer(&self, task: &TaskId) -> Result<(), Error> {
        let Some(store) = self.catalog.store() else { return Ok(()) };
        let failed = |error| Error::Source { task: task.clone(), error: Arc::new(error) };
        let pointer = store.refresh(task).await.map_err(failed)?;
        let pointer = pointer.ok_or_else(|| Error::NoVersion(task.clone()))?;
        if let Some(stable) = pointer.stable() {
            // Fetched while nobody waits; what goes wrong is told when it is read.
            drop(store.place(task, stable).await);
        }
        Ok(())
    }

    /// The version that its source says is to answer. A store's pointer is as it was read last.
    pub(super) async fn wanted(&self, task: &TaskId) -> Result<u64, Error> {
        let none = || Error::NoVersion(task.clone());
        let Some(store) = self.catalog.store() else {
            let newest = self.versions(task).await?.into_iter().max();
            return self.labelled(task).await?.unwrap_or(newest).ok_or_else(none);
        };
        store.known(task).and_then(|pointer| pointer.stable()).ok_or_else(none)
    }

    /// The version that the labels in a task's folder have answer, where there are any.
    pub(super) async fn labelled(&self, task: &TaskId) -> Result<Option<Option<u64>>, Error> {
        Ok(self.labels(task).await?.map(|labels| labels.stable()))
    }

    /// The labels in a task's folder, where there are any.
    pub(super) async fn labels(&self, task: &TaskId) -> Result<Option<Labels>, Error> {
        let (disk, folder) = (Arc::clone(self.catalog.disk()), self.catalog.root().join(task.as_str()));
        let read = blocking(move || Labels::read(&*disk, &folder)).await?;
        let failed = |error: LabelsError| Error::Listing { task: task.clone(), reason: error.to_string() };
        read.map_err(failed)
    }

    pub(super) async fn versions(&self, task: &TaskId) -> Result<Vec<u64>, Error> {
        let (disk, root) = (Arc::clone(self.catalog.disk()), self.catalog.root().to_owned());
        let listed = {
            let task = task.clone();
            blocking(move || versions_now(&*disk, &root, &task)).await?
        };
        listed.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Error::NoVersion(task.clone()),
            _ => Error::Listing { task: task.clone(), reason: error.to_string() },
        })
    }

    /// State of a version's files; none if the system cannot say.
    pub(super) async fn state_of(&self, task: &TaskId, version: u64) -> Option<VersionState> {
        if self.catalog.store().is_some() {
            // A blob never changes.
            return None;
        }
        let (disk, folder) = (Arc::clone(self.catalog.disk()), self.catalog.folder(task, version));
        blocking(move || VersionState::of(&*disk, &folder)).await.ok()?.ok()
    }

    pub(super) async fn publish(
        &self,
        task: &TaskId,
        (version, state): (u64, Option<VersionState>),
        attempts: &mut Attempts,
        by: Option<&Who>,
    ) -> Result<(), Error> {
        match self.prepare(task, version).await {
            Ok(published) => {
                self.catalog.publish(task, version, published).await;
                attempts.passed(task, version);
                self.metrics.packs.pack_reloads.with_label_values(&["published"]).inc();
                tracing::info!(%task, version, "published");
                self.note(by, &Event::Published { task: task.to_string(), version });
                Ok(())
            }
            Err(error) => {
                let kind = error.kind();
                // A version is logged once while it fails in the same way, not at every look.
                if attempts.failed(task, version, state, kind, Instant::now()) {
                    self.tell_failure(task, version, &error);
                    if kind == FailureKind::Broken && by.is_none() {
                        let (task, reason) = (task.to_string(), format!("version {version}: {error}"));
                        self.note(None, &Event::RefusedPublish { task, reason });
                    }
                }
                self.catalog.fail(task, Failure { version, kind, reason: error.shown() });
                Err(error)
            }
        }
    }

    fn tell_failure(&self, task: &TaskId, version: u64, error: &Error) {
        let kind = error.kind();
        self.metrics.packs.pack_reloads.with_label_values(&["failed"]).inc();
        if kind == FailureKind::Unreadable {
            self.metrics.packs.folder_errors.with_label_values(&["version"]).inc();
        }
        let retried = kind.retried();
        if kind == FailureKind::Broken {
            tracing::error!(%task, version, %error, retried, "not published");
        } else {
            tracing::warn!(%task, version, %error, %kind, retried, "not published yet");
        }
    }

    /// Reads, checks, compiles and warms a version. One trained at another precision cannot give its stored answers to
    /// the last digits: it is published too, with a warning that says how far off they are.
    async fn prepare(&self, task: &TaskId, version: u64) -> Result<VersionRead, Error> {
        if let Some(over) = self.catalog.one_too_many(task) {
            return Err(Error::OverLimit { task: task.clone(), over });
        }
        let Reading { pack, self_test, state } = self.read(task, version).await?;
        self.engine.prepare(pack.modules).await.map_err(|_| engine::Error::CompilerLost)??;
        let difference = self.test_once(task, &pack, self_test).await?;
        if !self.is_strict(&pack) {
            self.warn_of_precision(task, &pack);
            tracing::warn!(%task, version, difference, "largest difference of a stored answer, relative to its largest logit");
        }
        Ok(VersionRead { pack, state })
    }

    /// Warns where a pack was trained at another precision than the server runs; it serves all the same.
    pub(super) fn warn_of_precision(&self, task: &TaskId, pack: &Pack) {
        let (trained, served) = (pack.manifest.precision, self.engine.precision());
        if trained != served {
            tracing::warn!(%task, %trained, %served, "precisions differ: `server eval` tells what that costs");
        }
    }
}
