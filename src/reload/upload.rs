//! A version that comes with a request.

use std::sync::Arc;

use super::blocking::blocking;
use super::error::Error;
use super::reloader::Reloader;
use crate::audit::Who;
use crate::pack::{self, TaskId, Upload};
use crate::shelf::Archive;

/// Most versions of a task to which one that comes with a request is added: nobody deletes old ones here.
const MOST_VERSIONS: usize = 256;
/// Highest number that such a version may have: the next ones must have numbers too.
const HIGHEST: u64 = u64::MAX / 2;

impl Reloader {
    /// Writes a version into the folder of packs and publishes it. It is checked before it gets its name; one that does not
    /// give its stored answers is removed again.
    ///
    /// # Errors
    /// [`Error::Refused`] when its number is not the newest, and the reason why the catalog was left as it was.
    pub async fn receive(&self, task: &TaskId, version: u64, upload: Upload, by: &Who) -> Result<(), Error> {
        let received = self.write_and_publish(task, (version, upload), by).await;
        received.inspect_err(|error| self.note_refused(by, task, Some(version), error))
    }

    async fn write_and_publish(
        &self,
        task: &TaskId,
        (version, upload): (u64, Upload),
        by: &Who,
    ) -> Result<(), Error> {
        if let Some(over) = self.catalog.one_too_many(task) {
            return Err(Error::OverLimit { task: task.clone(), over });
        }
        if self.catalog.store().is_some() || self.labelled(task).await?.is_some() {
            let archive = move || Archive::from(pack::archive_of(&upload.config, &upload.weights));
            return self.verify_and_publish(task, (version, blocking(archive).await?), by).await.map(drop);
        }
        let mut attempts = self.attempts.lock().await;
        self.check_number(task, version).await?;
        let (disk, base) = (Arc::clone(self.catalog.disk()), self.catalog.base().clone());
        let folder = self.catalog.root().join(task.as_str());
        let written = blocking(move || pack::receive(&*disk, &folder, version, &upload, &base)).await?;
        let folder = written?;
        let state = self.state_of(task, version).await;
        let published = self.publish(task, (version, state), &mut attempts, Some(by)).await;
        if published.is_err() {
            // Best effort: what is wrong with it is told either way.
            let remove = move || {
                let _ = std::fs::remove_dir_all(&folder);
                // A task's folder that has nothing else in it was made for this version.
                folder.parent().map(std::fs::remove_dir)
            };
            let _ = blocking(remove).await;
            attempts.forget(task);
        }
        published
    }

    async fn check_number(&self, task: &TaskId, version: u64) -> Result<(), Error> {
        let versions = match self.versions(task).await {
            Ok(versions) => versions,
            Err(Error::NoVersion(_)) => Vec::new(),
            Err(error) => return Err(error),
        };
        let refuse = |reason: String| Err(Error::Refused { task: task.clone(), reason });
        match versions.iter().max() {
            _ if version > HIGHEST => refuse(format!("version {version} is beyond {HIGHEST}")),
            Some(newest) if version <= *newest => {
                refuse(format!("version {version} is not newer than version {newest}"))
            }
            _ if versions.len() >= MOST_VERSIONS => {
                refuse(format!("it has {} versions: delete some of them first", versions.len()))
            }
            _ => Ok(()),
        }
    }
}
