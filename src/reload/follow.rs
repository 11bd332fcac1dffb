//! Brings the catalog to what a store's pointers say, as far as tasks are known here.

use std::time::{Duration, Instant};

use futures::StreamExt;

use super::reloader::Reloader;
use crate::pack::TaskId;
use crate::shelf::{Changes, Objects, Pointer};

/// Pointers asked for at once.
const AT_ONCE: usize = 16;
/// Shortest time between two tries of a version that failed.
const QUIET: Duration = Duration::from_millis(500);

impl Reloader {
    /// Looks every `interval` at the feed of changes, until the future is dropped. Each known pointer is looked at again
    /// within `revalidate`, so that a change that the feed lacks is only late.
    pub async fn follow(&self, interval: Duration, revalidate: Duration) {
        let Some(store) = self.catalog.store() else { return };
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut after, mut trouble) = (None, None);
        loop {
            ticks.tick().await;
            let changed = store.changed().await;
            let told = changed.as_ref().err().filter(|error| !error.is_passing()).map(ToString::to_string);
            if told.is_some() && told != trouble {
                tracing::error!(error = told, "the feed of changes is wrong: pointers are looked at in turn");
            }
            trouble = told;
            let tasks = match changed {
                Ok(Changes::Tasks(tasks)) => tasks.into_iter().collect(),
                Ok(Changes::Anything) => self.catalog.tasks(),
                // Pointers would not answer either; the next tick asks again.
                Err(error) if error.is_passing() => continue,
                Err(_) => Vec::new(),
            };
            self.look_at_pointers(store, tasks).await;
            let share = share(self.catalog.published(), interval, revalidate);
            let (due, last) = self.catalog.known_after(after.as_ref(), share);
            after = last;
            self.look_at_pointers(store, due).await;
            self.try_pointers_again(store).await;
        }
    }

    async fn look_at_pointers(&self, store: &Objects, tasks: Vec<TaskId>) {
        let looks = tasks.into_iter().map(|task| async move {
            self.lessons.forget(&task).await;
            if self.catalog.contains(&task) {
                self.look_at_pointer(store, &task).await;
            }
        });
        futures::stream::iter(looks).buffer_unordered(AT_ONCE).collect::<()>().await;
    }

    async fn look_at_pointer(&self, store: &Objects, task: &TaskId) {
        match store.refresh(task).await {
            Ok(Some(pointer)) => self.apply_pointer(store, task, &pointer).await,
            // A bucket that was emptied by mistake must not take tasks away.
            Ok(None) => {
                if self.catalog.keep(task, "the store has no pointer of it any more") {
                    tracing::error!(%task, "kept as it was: the store has no pointer of it any more");
                }
            }
            Err(error) if error.is_passing() => {}
            Err(error) => {
                if self.catalog.keep(task, &error.to_string()) {
                    self.metrics.packs.folder_errors.with_label_values(&["task"]).inc();
                    tracing::error!(%task, %error, "kept as it was");
                }
            }
        }
    }

    async fn apply_pointer(&self, store: &Objects, task: &TaskId, pointer: &Pointer) {
        self.catalog.keep_no_more(task);
        let versions: Vec<u64> = pointer.versions.keys().copied().collect();
        self.catalog.has_versions(task, &versions);
        match pointer.stable() {
            Some(stable) => self.advance_to(store, task, stable).await,
            None => {
                tracing::info!(%task, "unpublished: no version of it is stable");
                self.catalog.remove(task).await;
            }
        }
    }

    /// Publishes a version unless it is live, or has failed and is not due.
    async fn advance_to(&self, store: &Objects, task: &TaskId, version: u64) {
        if self.catalog.live(task) == Some(version) || self.catalog.is_unloaded(task) {
            return;
        }
        // Fetched before the lock is taken; what goes wrong is told when it is read.
        drop(store.place(task, version).await);
        let mut attempts = self.attempts.lock().await;
        if attempts.is_due(task, version, None, Instant::now(), QUIET) {
            // What failed is in the task's status and in the log.
            let _ = self.publish(task, (version, None), &mut attempts, None).await;
        }
    }

    /// Tries versions again that failed and whose time has come.
    async fn try_pointers_again(&self, store: &Objects) {
        let mut tasks = self.catalog.take_doubtful();
        tasks.extend(self.attempts.lock().await.tasks().cloned());
        for task in tasks {
            match store.known(&task).and_then(|pointer| pointer.stable()) {
                Some(stable) if self.catalog.live(&task) != Some(stable) => {
                    self.advance_to(store, &task, stable).await;
                }
                _ => self.attempts.lock().await.forget(&task),
            }
        }
    }
}

/// How many of `known` pointers are looked at in one tick.
fn share(known: usize, interval: Duration, revalidate: Duration) -> usize {
    let ticks = (revalidate.as_secs_f64() / interval.as_secs_f64().max(1e-3)).max(1.0);
    (known as f64 / ticks).ceil() as usize
}
