//! The order in which rows are served: fair between tasks, first come first served within one.
//!
//! Start-time fair queueing (Goyal, Vin and Cheng 1996): a row's start tag is the later of the queue's virtual
//! time and its task's last finish tag; its finish tag adds its cost (FLOPs). Rows leave in order of their
//! start tags. So a task that floods the queue delays mostly itself, and an idle task saves up nothing.

use std::collections::{BTreeMap, HashMap};

use crate::pack::TaskId;

/// Rows waiting for a batch.
#[derive(Debug)]
pub(super) struct Queue<T> {
    waiting: BTreeMap<Turn, Queued<T>>,
    tasks: HashMap<TaskId, TaskState>,
    virtual_time: u64,
    arrivals: u64,
}

/// When a row's turn is: by start tag, then by arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    start: u64,
    arrival: u64,
}

#[derive(Debug)]
struct Queued<T> {
    task: TaskId,
    row: T,
}

#[derive(Debug)]
struct TaskState {
    finish: u64,
    waiting: usize,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { waiting: BTreeMap::new(), tasks: HashMap::new(), virtual_time: 0, arrivals: 0 }
    }
}

impl<T> Queue<T> {
    /// Adds a row of `cost` FLOPs.
    pub(super) fn push(&mut self, task: &TaskId, cost: u64, row: T) {
        let state = self.tasks.entry(task.clone()).or_insert(TaskState { finish: 0, waiting: 0 });
        let start = state.finish.max(self.virtual_time);
        state.finish = start.saturating_add(cost.max(1));
        state.waiting += 1;
        self.arrivals += 1;
        let turn = Turn { start, arrival: self.arrivals };
        self.waiting.insert(turn, Queued { task: task.clone(), row });
    }

    /// Takes up to `max` rows in order.
    pub(super) fn take(&mut self, max: usize) -> Vec<T> {
        let mut taken = Vec::new();
        while taken.len() < max
            && let Some((turn, next)) = self.waiting.pop_first()
        {
            self.virtual_time = self.virtual_time.max(turn.start);
            self.left(&next.task);
            taken.push(next.row);
        }
        taken
    }

    /// Removes and returns the rows that `dead` picks.
    pub(super) fn remove(&mut self, mut dead: impl FnMut(&T) -> bool) -> Vec<T> {
        let removed: Vec<_> = self.waiting.extract_if(.., |_, queued| dead(&queued.row)).collect();
        removed
            .into_iter()
            .map(|(_, queued)| {
                self.left(&queued.task);
                queued.row
            })
            .collect()
    }

    /// Number of rows waiting.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The waiting rows, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.waiting.values().map(|queued| &queued.row)
    }

    fn left(&mut self, task: &TaskId) {
        let Some(state) = self.tasks.get_mut(task) else { return };
        state.waiting -= 1;
        // A task without rows and without debt is as good as new; the table must not grow with every name.
        if state.waiting == 0 && state.finish <= self.virtual_time {
            self.tasks.remove(task);
        }
        if self.waiting.is_empty() {
            self.tasks.clear();
            self.virtual_time = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(arrivals: &str, costs: fn(char) -> u64) -> String {
        let mut queue = Queue::default();
        for c in arrivals.chars() {
            queue.push(&c.to_string().parse().unwrap(), costs(c), c);
        }
        queue.take(usize::MAX).into_iter().collect()
    }

    #[test]
    fn tasks_take_turns_and_each_keeps_its_order() {
        for (arrivals, expected) in
            [("aaaa", "aaaa"), ("abab", "abab"), ("aaaab", "abaaa"), ("aaabbb", "ababab"), ("aabcc", "abcac")]
        {
            assert_eq!(order(arrivals, |_| 10), expected, "{arrivals}");
        }
    }

    #[test]
    fn a_dearer_task_gets_fewer_turns() {
        assert_eq!(order("aabbbb", |c| if c == 'a' { 20 } else { 10 }), "abbabb");
    }

    #[test]
    fn removed_rows_leave_no_trace() {
        let mut queue = Queue::default();
        for (task, row) in [("a", 1), ("a", 2), ("b", 3)] {
            queue.push(&task.parse().unwrap(), 1, row);
        }
        assert_eq!(queue.remove(|row| row % 2 == 1), [1, 3]);
        assert_eq!((queue.len(), queue.take(8)), (1, vec![2]));
        assert!(queue.tasks.is_empty());
    }
}
