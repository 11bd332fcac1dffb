//! What a store said lately about tasks that are not published.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::pack::TaskId;
use crate::shelf;

/// How long an answer of the store about a task that is not published is believed.
const BELIEVED: Duration = Duration::from_secs(2);
/// Most tasks of which such an answer is kept.
const KEPT: u64 = 10_000;
/// Tasks asked about at once: whoever makes up names must not take all connections.
const AT_ONCE: usize = 32;

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
}

impl Default for Lessons {
    fn default() -> Self {
        let said = moka::future::Cache::builder().max_capacity(KEPT).time_to_live(BELIEVED).build();
        Self { said, turns: Semaphore::new(AT_ONCE) }
    }
}

impl Lessons {
    /// Forgets what was said about a task, which has changed.
    pub(super) async fn forget(&self, task: &TaskId) {
        self.said.invalidate(task).await;
    }
}
