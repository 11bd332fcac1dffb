//! Which versions a request may name.

use super::error::Error;
use super::reloader::Reloader;
use crate::catalog;
use crate::pack::TaskId;

impl Reloader {
    /// Whether a version answers or a label names it. Others may have been taken back, or never meant to answer.
    ///
    /// # Errors
    /// As one that there is not, where none does; and what kept it from being looked at.
    pub async fn check_named(&self, task: &TaskId, version: u64) -> Result<(), Error> {
        self.learn(task).await?;
        if self.catalog.live(task) == Some(version) || self.is_labelled(task, version).await? {
            return Ok(());
        }
        Err(catalog::Error::NoSuchVersion { task: task.clone(), version }.into())
    }

    async fn is_labelled(&self, task: &TaskId, version: u64) -> Result<bool, Error> {
        let Some(store) = self.catalog.store() else {
            let labels = self.labels(task).await?;
            return Ok(labels.is_some_and(|labels| labels.labels.values().any(|named| *named == version)));
        };
        let pointer = store.known(task);
        Ok(pointer.is_some_and(|pointer| pointer.labels.values().any(|named| *named == version)))
    }
}
