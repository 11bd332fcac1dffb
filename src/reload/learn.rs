//! Tasks of a store, learned at their first request: nobody lists a store with a million of them.

use std::sync::Arc;

use super::error::Error;
use super::lessons::Learned;
use super::reloader::Reloader;
use crate::pack::TaskId;
use crate::shelf::Objects;

impl Reloader {
    /// Has the catalog know a task that the store has. Those who ask at once share one request. Without a store the catalog
    /// knows all there is.
    ///
    /// # Errors
    /// [`Error::Source`] when the store does not answer or its pointer is wrong: the task may exist.
    pub async fn learn(&self, task: &TaskId) -> Result<(), Error> {
        let Some(store) = self.catalog.store().filter(|_| !self.catalog.contains(task)) else {
            return Ok(());
        };
        match self.lessons.said.get_with(task.clone(), self.ask(store, task)).await {
            Learned::Said => Ok(()),
            Learned::Failed(error) => Err(Error::Source { task: task.clone(), error }),
        }
    }

    /// A change that was followed while the pointer was read found the task unknown: it is looked at once more.
    async fn look_again(&self, store: &Objects, task: &TaskId, listed: u64) {
        if !self.lessons.has_changed(task) {
            return;
        }
        // A store that fails now leaves what was read; the pointer is revalidated in its turn.
        let pointer = store.refresh(task).await.ok().flatten();
        let stable = pointer.and_then(|pointer| pointer.stable());
        if let Some(stable) =
            stable.filter(|stable| *stable != listed && self.catalog.live(task) == Some(listed))
        {
            self.catalog.list([(task.clone(), stable)]);
        }
    }

    async fn ask(&self, store: &Objects, task: &TaskId) -> Learned {
        // A closed semaphore is none of ours.
        let _turn = self.lessons.turns.acquire().await;
        match store.refresh(task).await {
            Ok(pointer) => {
                let stable = pointer.and_then(|pointer| pointer.stable());
                if let Some(stable) = stable.filter(|_| !self.catalog.contains(task)) {
                    self.catalog.list([(task.clone(), stable)]);
                    self.look_again(store, task, stable).await;
                }
                Learned::Said
            }
            Err(error) => {
                tracing::warn!(%task, %error, "the store was asked about a task in vain");
                Learned::Failed(Arc::new(error))
            }
        }
    }
}
