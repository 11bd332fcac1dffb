//! Tasks of a folder of packs whose labels say which version answers.

use std::time::Instant;

use super::attempts::QUIET;
use super::reloader::Reloader;
use crate::pack::TaskId;

impl Reloader {
    /// Has the version answer that a task's labels name, newer or older than the live one; none has none answer. One that
    /// fails leaves the live one.
    pub(super) async fn advance_to_label(&self, task: &TaskId, stable: Option<u64>, versions: &[u64]) {
        let live = self.catalog.live(task);
        let Some(stable) = stable else {
            if live.is_some() {
                tracing::info!(%task, "unpublished: no version of it is stable");
                self.catalog.remove(task).await;
            }
            return;
        };
        if live == Some(stable) || self.catalog.is_unloaded(task) {
            return;
        }
        if !versions.contains(&stable) {
            if self.catalog.keep(task, &format!("its labels name version {stable}, which is not there")) {
                tracing::error!(%task, version = stable, "kept as it was: its labels name a version that is not there");
            }
            return;
        }
        let mut attempts = self.attempts.lock().await;
        // While others published, the labels may have changed: the watcher is told of it then.
        if !matches!(self.labelled(task).await, Ok(Some(Some(now))) if now == stable) {
            return;
        }
        let state = self.state_of(task, stable).await;
        if attempts.is_due(task, stable, state, Instant::now(), QUIET) {
            // What failed is in the task's status and in the log.
            let _ = self.publish(task, (stable, state), &mut attempts, None).await;
        }
    }
}
