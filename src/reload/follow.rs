//! Brings the catalog to what a store's pointers say, as far as tasks are known here.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;

use super::advances::Advances;
use super::reloader::Reloader;
use crate::pack::TaskId;
use crate::shelf::{self, Changes, Objects, Pointer};

/// Pointers asked for at once.
const AT_ONCE: usize = 16;
impl Reloader {
    /// Looks every `interval` at the feed of changes, until the future is dropped. Each known pointer is looked at again
    /// within `revalidate`, so that a change that the feed lacks is only late. A version that is long in coming delays no
    /// other task.
    pub async fn follow(self: &Arc<Self>, interval: Duration, revalidate: Duration) {
        let Some(store) = self.catalog.store() else { return };
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut after, mut trouble, mut advances) = (None, None, Advances::new(self, store));
        loop {
            ticks.tick().await;
            let changed = store.changed().await;
            tell(&changed, &mut trouble);
            let is_feed_away = changed.as_ref().is_err_and(shelf::Error::is_passing);
            let tasks = match changed {
                Ok(Changes::Tasks(tasks)) => tasks.into_iter().collect(),
                Ok(Changes::Anything) => self.catalog.tasks(),
                Err(_) => Vec::new(),
            };
            self.look_at_pointers(tasks, &mut advances).await;
            let share = share(self.catalog.published(), interval, revalidate);
            let (due, last) = self.catalog.known_after(after.as_ref(), share);
            // The feed alone may be away, as where a store gives no leave to read it. One pointer tells.
            if is_feed_away && !is_answering(store, due.first()).await {
                continue;
            }
            after = last;
            self.look_at_pointers(due, &mut advances).await;
            self.try_pointers_again(&mut advances);
        }
    }

    async fn look_at_pointers(&self, tasks: Vec<TaskId>, advances: &mut Advances) {
        let looks = tasks.into_iter().map(|task| async move {
            self.lessons.forget(&task).await;
            let is_wished = self.catalog.contains(&task) && self.look_at_pointer(&task).await;
            is_wished.then_some(task)
        });
        let mut looks = futures::stream::iter(looks).buffer_unordered(AT_ONCE);
        while let Some(wished) = looks.next().await {
            wished.into_iter().for_each(|task| advances.begin(task));
        }
    }

    /// Looks at a pointer. Returns whether it names a version that does not answer yet.
    async fn look_at_pointer(&self, task: &TaskId) -> bool {
        let Some(store) = self.catalog.store() else { return false };
        match store.refresh(task).await {
            Ok(Some(pointer)) => return self.apply_pointer(task, &pointer).await,
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
        false
    }

    async fn apply_pointer(&self, task: &TaskId, pointer: &Pointer) -> bool {
        self.catalog.keep_no_more(task);
        let versions: Vec<u64> = pointer.versions.keys().copied().collect();
        self.catalog.has_versions(task, &versions);
        if pointer.stable().is_none() {
            tracing::info!(%task, "unpublished: no version of it is stable");
            self.catalog.remove(task).await;
        }
        self.wish(task).is_some()
    }

    /// Tries versions again that failed and whose time has come.
    fn try_pointers_again(&self, advances: &mut Advances) {
        // While somebody publishes, a later tick tries.
        let Ok(mut attempts) = self.attempts.try_lock() else { return };
        let mut tasks = self.catalog.take_doubtful();
        tasks.extend(attempts.tasks().cloned());
        for task in tasks {
            match self.wish(&task) {
                Some(_) => advances.begin(task),
                None => attempts.forget(&task),
            }
        }
    }
}

/// Tells once what is wrong with the feed.
fn tell(changed: &Result<Changes, shelf::Error>, trouble: &mut Option<String>) {
    let told = changed.as_ref().err().filter(|error| !error.is_passing()).map(ToString::to_string);
    if told.is_some() && told != *trouble {
        tracing::error!(error = told, "the feed of changes is wrong: pointers are looked at in turn");
    }
    *trouble = told;
}

/// Whether the store gives a pointer, or says that there is none.
async fn is_answering(store: &Objects, task: Option<&TaskId>) -> bool {
    let Some(task) = task else { return false };
    store.refresh(task).await.map_or_else(|error| !error.is_passing(), |_| true)
}

/// How many of `known` pointers are looked at in one tick.
fn share(known: usize, interval: Duration, revalidate: Duration) -> usize {
    let ticks = (revalidate.as_secs_f64() / interval.as_secs_f64().max(1e-3)).max(1.0);
    (known as f64 / ticks).ceil() as usize
}
