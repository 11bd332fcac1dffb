//! Tasks that answer nothing until they are loaded again.

use std::sync::PoisonError;

use super::table::Catalog;
use super::unloaded::Unload;
use crate::pack::TaskId;

impl Catalog {
    /// Has a task answer nothing, whatever appears in its folder; requests that hold its pack finish. Returns whether there
    /// is such a task.
    pub async fn unload(&self, task: &TaskId) -> bool {
        if !self.contains(task) {
            return false;
        }
        self.unloaded.write().unwrap_or_else(PoisonError::into_inner).unload(task);
        if let Some(live) = self.live(task) {
            self.forget(task, live).await;
        }
        true
    }

    /// The unload of a task that is in force now. A load looks before it begins.
    pub fn unload_of(&self, task: &TaskId) -> Unload {
        self.unloaded.read().unwrap_or_else(PoisonError::into_inner).of(task)
    }

    /// Has a task answer again, unless it was unloaded since: whoever unloads a task while it is being loaded wants it to
    /// answer nothing.
    pub fn readmit(&self, task: &TaskId, seen: Unload) {
        self.unloaded.write().unwrap_or_else(PoisonError::into_inner).readmit(task, seen);
    }

    /// Whether a task answers nothing until it is loaded.
    pub fn is_unloaded(&self, task: &TaskId) -> bool {
        self.unloaded.read().unwrap_or_else(PoisonError::into_inner).has(task)
    }
}
