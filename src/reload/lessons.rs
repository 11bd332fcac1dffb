//! What a store said lately about tasks that are not published.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::pack::TaskId;
use crate::shelf;

/// How long an answer of the store about a task that is not published is believed.
const BELIEVED: Duration = Duration::from_secs(2);
/// How long a change counts as recent: longer than a request to the store.
const CHANGED: Duration = Duration::from_secs(30);
/// Most tasks of which such an answer is kept.
const KEPT: u64 = 10_000;
/// Tasks asked about at once: whoever makes up names must not take all connections.
const AT_ONCE: usize = 32;

/// Tasks that are asked about or wait for that; more are refused.
pub(super) const PLACES: usize = 1024;

/// Too many tasks are asked about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crowded;

/// What the store said about a task.
#[derive(Clone, Debug)]
pub(super) enum Learned {
    /// It is published now, or is not there: the catalog knows.
    Said,
    /// Nothing that could be used.
    Failed(Arc<shelf::Error>),
}

/// What was asked lately.
pub(super) struct Lessons {
    pub(super) said: moka::future::Cache<TaskId, Learned>,
    pub(super) turns: Semaphore,
    pub(super) places: Semaphore,
    /// Tasks that have changed lately: what was read of them meanwhile may be old.
    changed: moka::future::Cache<TaskId, ()>,
}

impl Default for Lessons {
    fn default() -> Self {
        let said = moka::future::Cache::builder().max_capacity(KEPT).time_to_live(BELIEVED).build();
        let changed = moka::future::Cache::builder().max_capacity(KEPT).time_to_live(CHANGED).build();
        Self { said, turns: Semaphore::new(AT_ONCE), places: Semaphore::new(PLACES), changed }
    }
}

impl Lessons {
    /// Forgets what was said about a task, which has changed.
    pub(super) async fn forget(&self, task: &TaskId) {
        self.changed.insert(task.clone(), ()).await;
        self.said.invalidate(task).await;
    }

    /// Whether a task has changed lately.
    pub(super) fn has_changed(&self, task: &TaskId) -> bool {
        self.changed.contains_key(task)
    }
}
