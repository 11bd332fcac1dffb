//! Which row of one flow is next: higher priorities first, tasks in turn within a priority, and no priority waits for
//! ever. Pure.
//!
//! A priority that waits lets at most [`PATIENCE`] rows of higher ones pass, and then one of its own is next. Where two
//! have waited that long, the higher one goes first and the other follows. Flows know nothing of all this: what a row
//! costs is charged to its flow, whatever its priority.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::super::turns::Turns;
use crate::engine::Priority;
use crate::pack::TaskId;

/// Most rows of higher priorities that a waiting priority lets pass: it keeps a sixteenth of its flow.
pub(crate) const PATIENCE: usize = 15;

/// The rows of one flow.
#[derive(Debug, Default)]
pub(super) struct Levels(BTreeMap<Priority, Level>);

/// The rows of one priority.
#[derive(Debug, Default)]
struct Level {
    turns: Turns<TaskId>,
    /// Arrivals of each task's waiting rows.
    waiting: HashMap<TaskId, BTreeSet<u64>>,
    in_service: usize,
    /// Rows of higher priorities that were served since this one waits, or since it was served last.
    passed: usize,
}

/// Where in its flow a row stands.
#[derive(Clone, Debug)]
pub(super) struct Stand {
    pub(super) priority: Priority,
    pub(super) task: TaskId,
}

impl Levels {
    pub(super) fn push(&mut self, stand: &Stand, arrival: u64) {
        let level = self.0.entry(stand.priority).or_default();
        level.turns.wake(&stand.task, 1);
        level.waiting.entry(stand.task.clone()).or_default().insert(arrival);
    }

    /// The row that is next.
    pub(super) fn next(&self) -> Option<u64> {
        let level = self.waiting().min_by_key(|(priority, level)| (!level.is_starved(), **priority))?.1;
        level.waiting.get(level.turns.next()?)?.first().copied()
    }

    /// The oldest row of each task, in turn.
    pub(super) fn oldest(&self) -> Vec<u64> {
        let mut levels: Vec<_> = self.waiting().collect();
        levels.sort_by_key(|(priority, level)| (!level.is_starved(), **priority));
        let of_task = |(_, level): (_, &'_ Level)| -> Vec<u64> {
            level.turns.in_turn().filter_map(|task| level.waiting.get(task)?.first().copied()).collect()
        };
        levels.into_iter().flat_map(of_task).collect()
    }

    /// Charges a row that is served. Returns its task's spell.
    pub(super) fn serve(&mut self, stand: &Stand, cost: u64) -> u64 {
        for (_, behind) in self.0.iter_mut().filter(|(priority, _)| **priority > stand.priority) {
            if !behind.waiting.is_empty() {
                behind.passed += 1;
            }
        }
        let level = self.0.entry(stand.priority).or_default();
        level.passed = 0;
        level.in_service += 1;
        level.turns.serve(&stand.task, cost)
    }

    /// Notes that a row waits no more.
    pub(super) fn left(&mut self, stand: &Stand, arrival: u64) {
        let Some(level) = self.0.get_mut(&stand.priority) else { return };
        if let Some(waiting) = level.waiting.get_mut(&stand.task) {
            waiting.remove(&arrival);
            if waiting.is_empty() {
                level.waiting.remove(&stand.task);
                level.turns.sleep(&stand.task);
            }
        }
        if level.waiting.is_empty() {
            level.passed = 0;
        }
        self.end_of_spell(stand.priority);
    }

    /// A row that was served cost `cost`, not `charged`.
    pub(super) fn settle(&mut self, stand: &Stand, spell: u64, (charged, cost): (u64, u64)) {
        let Some(level) = self.0.get_mut(&stand.priority) else { return };
        level.in_service = level.in_service.saturating_sub(1);
        level.turns.correct(&stand.task, spell, charged, cost);
        self.end_of_spell(stand.priority);
    }

    /// Whether any row waits.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting().next().is_some()
    }

    /// Whether no row waits or is being served.
    pub(super) fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    fn waiting(&self) -> impl Iterator<Item = (&Priority, &Level)> {
        self.0.iter().filter(|(_, level)| !level.waiting.is_empty())
    }

    /// Forgets a priority's order when nothing of it waits or is being served.
    fn end_of_spell(&mut self, priority: Priority) {
        if self.0.get(&priority).is_some_and(|level| level.waiting.is_empty() && level.in_service == 0) {
            self.0.remove(&priority);
        }
    }
}

impl Level {
    fn is_starved(&self) -> bool {
        self.passed >= PATIENCE
    }
}
