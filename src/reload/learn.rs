//! Tasks of a store, learned at their first request: nobody lists a store with a million of them.

use std::sync::Arc;

use super::error::Error;
use super::lessons::{Crowded, Learned};
use super::reloader::Reloader;
use crate::pack::TaskId;
use crate::shelf::Objects;

impl Reloader {
    /// Has the catalog know a task that the store has. Those who ask at once share one request. Without a store the catalog
    /// knows all there is.
    ///
    /// # Errors
    /// [`Error::Source`] when the store does not answer or its pointer is wrong: the task may exist. [`Error::Crowded`]
    /// when too many tasks are asked about.
    pub async fn learn(&self, task: &TaskId) -> Result<(), Error> {
        self.learn_for(task, None).await
    }

    /// As [`Reloader::learn`], for a request of a tenant: all that one tenant asks for takes its own places, whoever owns the
    /// tasks.
    ///
    /// # Errors
    /// As [`Reloader::learn`].
    pub async fn learn_for(&self, task: &TaskId, tenant: Option<Arc<str>>) -> Result<(), Error> {
        let Some(store) = self.catalog.store().filter(|_| !self.catalog.contains(task)) else {
            return Ok(());
        };
        let asked = async {
            // One for each task that is asked about: whoever makes up names finds no room after a while.
            let _place = self.lessons.places.take(tenant)?;
            Ok::<_, Crowded>(self.ask(store, task).await)
        };
        match self.lessons.said.try_get_with(task.clone(), asked).await {
            Ok(Learned::Said) => Ok(()),
            Ok(Learned::Failed(error)) => Err(Error::Source { task: task.clone(), error }),
            Err(crowded) => Err(Error::Crowded { task: task.clone(), limit: crowded.0 }),
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
                // A store that is away is logged once where it is asked: whoever makes up names writes no lines.
                if !error.is_passing() {
                    tracing::warn!(%task, %error, "the store was asked about a task in vain");
                }
                Learned::Failed(Arc::new(error))
            }
        }
    }
}
