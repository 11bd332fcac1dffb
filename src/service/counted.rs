//! Requests and rows, counted by their task.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::handle::Service;
use super::spent::Spent;
use super::tallies::Tally;
use crate::pack::TaskId;
use crate::reload::Pinned;

impl Service {
    /// What a version of a task did; nothing where it has not been asked.
    pub fn tally(&self, task: &TaskId, version: u64) -> Tally {
        let found = self.shared.tallies.lock().get(task).cloned();
        let found = found.filter(|tally| tally.version == version);
        found.unwrap_or_else(|| Tally { version, ..Tally::default() })
    }

    /// A request under a task ended.
    pub(super) fn ended(&self, task: &Pinned, is_answered: bool, took: Duration) {
        self.tallied(task, |tally| {
            if is_answered {
                tally.success.add(took);
                tally.last = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            } else {
                tally.fail.add(took);
            }
        });
    }

    /// A row under a task ran.
    pub(super) fn row_ran(&self, task: &Pinned, spent: &Spent) {
        let Spent { decode, queue, run, batch_rows, .. } = *spent;
        self.tallied(task, |tally| {
            tally.decode.add(decode);
            tally.queue.add(queue);
            tally.run.add(run);
            tally.batches.entry(batch_rows).or_default().add(run);
            tally.shares += 1.0 / batch_rows.max(1) as f64;
        });
    }

    fn tallied(&self, task: &Pinned, change: impl FnOnce(&mut Tally)) {
        if !task.task.is_none() {
            self.shared.tallies.change(task, |task| !self.shared.catalog.contains(task), change);
        }
    }
}
