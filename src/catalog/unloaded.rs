//! Which tasks answer nothing until they are loaded again. Pure.

use std::collections::BTreeMap;

use crate::pack::TaskId;

/// Unloaded tasks, each with the number of its unload.
#[derive(Debug, Default)]
pub(super) struct Unloaded {
    tasks: BTreeMap<TaskId, u64>,
    count: u64,
}

/// Which unload of a task was in force, if one was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unload(Option<u64>);

impl Unloaded {
    pub(super) fn unload(&mut self, task: &TaskId) {
        self.count += 1;
        self.tasks.insert(task.clone(), self.count);
    }

    pub(super) fn has(&self, task: &TaskId) -> bool {
        self.tasks.contains_key(task)
    }

    /// The unload that is in force.
    pub(super) fn of(&self, task: &TaskId) -> Unload {
        Unload(self.tasks.get(task).copied())
    }

    /// Has a task answer again, unless it was unloaded since.
    pub(super) fn readmit(&mut self, task: &TaskId, seen: Unload) {
        if self.of(task) == seen {
            self.tasks.remove(task);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unload_during_a_load_stays() {
        let (task, none) = ("one".parse().unwrap(), Unload(None));
        let mut unloaded = Unloaded::default();
        // Loaded while it answers, and unloaded meanwhile.
        let seen = unloaded.of(&task);
        unloaded.unload(&task);
        unloaded.readmit(&task, seen);
        assert_ne!(unloaded.of(&task), none);
        // Loaded while it is unloaded, and unloaded once more meanwhile.
        let seen = unloaded.of(&task);
        unloaded.unload(&task);
        unloaded.readmit(&task, seen);
        assert_ne!(unloaded.of(&task), none);
        let seen = unloaded.of(&task);
        unloaded.readmit(&task, seen);
        assert_eq!(unloaded.of(&task), none);
    }
}
