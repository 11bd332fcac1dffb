//! Versions of a store on their way to go live, each task's beside the others': one that is long in coming delays none.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::attempts::QUIET;
use super::reloader::Reloader;
use crate::pack::TaskId;
use crate::shelf::Objects;

/// Advances at once.
const AT_ONCE: usize = 16;

/// Tasks whose advance is under way, and whether they have changed since it began.
type Going = Mutex<HashMap<TaskId, bool>>;

/// The advances of a store's tasks, at most one a task. They end when this is dropped.
pub(super) struct Advances {
    reloader: Arc<Reloader>,
    store: Arc<Objects>,
    going: Arc<Going>,
    turns: Arc<Semaphore>,
    all: JoinSet<()>,
}

impl Advances {
    pub(super) fn new(reloader: &Arc<Reloader>, store: &Arc<Objects>) -> Self {
        Self {
            reloader: Arc::clone(reloader),
            store: Arc::clone(store),
            going: Arc::default(),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            all: JoinSet::new(),
        }
    }

    /// Begins to bring a task to what its pointer says, unless that is under way: then it looks once more at its end.
    pub(super) fn begin(&mut self, task: TaskId) {
        while self.all.try_join_next().is_some() {}
        if let Some(has_changed) = lock(&self.going).get_mut(&task) {
            *has_changed = true;
            return;
        }
        lock(&self.going).insert(task.clone(), false);
        let (reloader, store) = (Arc::clone(&self.reloader), Arc::clone(&self.store));
        let (going, turns) = (Arc::clone(&self.going), Arc::clone(&self.turns));
        self.all.spawn(async move {
            loop {
                {
                    // A closed semaphore is none of ours.
                    let _turn = turns.acquire().await;
                    reloader.advance_by_pointer(&store, &task).await;
                }
                if !has_changed_again(&going, &task) {
                    return;
                }
            }
        });
    }
}

/// Whether a task has changed since its advance began; it is under way no more where it has not.
fn has_changed_again(going: &Going, task: &TaskId) -> bool {
    let mut going = lock(going);
    match going.get_mut(task) {
        Some(has_changed) if *has_changed => {
            *has_changed = false;
            true
        }
        _ => {
            going.remove(task);
            false
        }
    }
}

fn lock(going: &Going) -> MutexGuard<'_, HashMap<TaskId, bool>> {
    going.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reloader {
    /// The version that a task's pointer, as it was read last, says is to answer, and that does not yet.
    pub(super) fn wish(&self, task: &TaskId) -> Option<u64> {
        let pointer = self.catalog.store()?.known(task)?;
        let stable = pointer.stable().filter(|_| !self.catalog.is_unloaded(task))?;
        (self.catalog.live(task) != Some(stable)).then_some(stable)
    }

    /// Publishes the version that is wished, unless it has failed and is not due.
    async fn advance_by_pointer(&self, store: &Objects, task: &TaskId) {
        let Some(version) = self.wish(task) else { return };
        if !self.attempts.lock().await.is_due(task, version, None, Instant::now(), QUIET) {
            return;
        }
        // Fetched without the lock; what goes wrong is told when it is read.
        drop(store.place(task, version).await);
        let mut attempts = self.attempts.lock().await;
        // While it came and others published, the wish may have changed.
        let is_wished = self.wish(task) == Some(version);
        if is_wished && attempts.is_due(task, version, None, Instant::now(), QUIET) {
            // What failed is in the task's status and in the log.
            let _ = self.publish(task, (version, None), &mut attempts, None).await;
        }
    }
}
