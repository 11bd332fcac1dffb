//! Tasks that answer nothing until they are loaded again.

use std::sync::PoisonError;

use super::table::Catalog;
use crate::pack::TaskId;

impl Catalog {
    /// Has a task answer nothing, whatever appears in its folder; requests that hold its pack finish. Returns whether there
    /// is such a task.
    pub async fn unload(&self, task: &TaskId) -> bool {
        if !self.contains(task) {
            return false;
        }
        self.unloaded.write().unwrap_or_else(PoisonError::into_inner).insert(task.clone());
        if let Some(live) = self.live(task) {
            self.forget(task, live).await;
        }
        true
    }

    /// Has a task answer again.
    pub fn readmit(&self, task: &TaskId) {
        self.unloaded.write().unwrap_or_else(PoisonError::into_inner).remove(task);
    }

    /// Whether a task answers nothing until it is loaded.
    pub fn is_unloaded(&self, task: &TaskId) -> bool {
        self.unloaded.read().unwrap_or_else(PoisonError::into_inner).contains(task)
    }
}
