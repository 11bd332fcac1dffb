//! What is learnt of a request on its way: whose it is, and which tasks it asks for.

use std::sync::{Arc, Mutex, PoisonError};

/// Most tasks of a line; further ones are counted.
const TASKS: usize = 16;

/// What is learnt of one request. Whoever asks carries it along, and its line tells it.
#[derive(Debug, Default)]
pub struct Notes(Mutex<Learnt>);

/// What was learnt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learnt {
    /// Whose request it is; none on a server without tenants, and before that is proved.
    pub tenant: Option<Arc<str>>,
    /// Tasks that it asks for, in the order in which they were looked for; at most 16.
    pub tasks: Vec<Arc<str>>,
    /// How many more.
    pub more_tasks: usize,
}

impl Notes {
    /// Notes whose request it is.
    pub fn tenant(&self, name: Arc<str>) {
        self.change(|learnt| learnt.tenant = Some(name));
    }

    /// Notes a task that it asks for.
    pub fn task(&self, name: Arc<str>) {
        self.change(|learnt| match learnt.tasks.contains(&name) {
            true => {}
            false if learnt.tasks.len() < TASKS => learnt.tasks.push(name),
            false => learnt.more_tasks += 1,
        });
    }

    /// What was learnt until now.
    pub fn learnt(&self) -> Learnt {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut Learnt)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_named_once_and_counted_beyond_the_bound() {
        let notes = Notes::default();
        notes.tenant("shop".into());
        for number in 0..TASKS + 3 {
            notes.task(format!("t{number}").into());
            notes.task("t0".into());
        }
        let Learnt { tenant, tasks, more_tasks } = notes.learnt();
        assert_eq!((tenant.as_deref(), tasks.len(), more_tasks), (Some("shop"), TASKS, 3));
        assert_eq!((&*tasks[0], &*tasks[TASKS - 1]), ("t0", "t15"));
    }
}
