//! Tasks, packs and their folder.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Registry};

use super::make::{counter, gauge, known};

/// Tasks, packs and their folder.
pub struct PackMetrics {
    /// Published tasks.
    pub tasks: IntGauge,
    /// Packs in memory.
    pub packs_resident: IntGauge,
    /// Memory of the packs held.
    pub packs_resident_bytes: IntGauge,
    /// Memory packs may take.
    pub packs_budget_bytes: IntGauge,
    /// Packs read into memory.
    pub pack_loads: IntCounter,
    /// Of those, the ones that were in memory before a restart.
    pub packs_recalled: IntCounter,
    /// Packs dropped to keep the budget.
    pub pack_evictions: IntCounter,
    /// New versions, by outcome (`published` or `failed`).
    pub pack_reloads: IntCounterVec,
    /// Live versions whose files were rewritten in place.
    pub packs_rewritten: IntCounter,
    /// Self-tests, by outcome (`passed`, `failed`, or `remembered` from an earlier pass).
    pub self_tests: IntCounterVec,
    /// Failed looks at the folder of packs, by what was looked at (`root`, `task`, `version`).
    pub folder_errors: IntCounterVec,
    /// Tasks kept though the folder of packs no longer has them.
    pub folder_held: IntGauge,
    /// Folders ignored because their name is neither a task id nor a version.
    pub folder_passed_over: IntGauge,
    /// Tasks without change notices, whose folders are looked at in turn.
    pub folder_unwatched: IntGauge,
}

impl PackMetrics {
    pub(super) fn new(r: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            tasks: gauge(r, "mimi_tasks", "Published tasks")?,
            packs_resident: gauge(r, "mimi_packs_resident", "Packs in memory")?,
            packs_resident_bytes: gauge(r, "mimi_packs_resident_bytes", "Memory of packs in memory")?,
            packs_budget_bytes: gauge(r, "mimi_packs_budget_bytes", "Memory that packs may take")?,
            pack_loads: counter(r, "mimi_pack_loads_total", "Packs read into memory")?,
            packs_recalled: counter(
                r,
                "mimi_packs_recalled_total",
                "Packs read into memory because they were there before a restart; no request waited for them",
            )?,
            pack_evictions: counter(
                r,
                "mimi_pack_evictions_total",
                "Packs dropped to stay within the budget",
            )?,
            pack_reloads: known(
                r,
                "mimi_pack_reloads_total",
                "New versions tried, by outcome: published, failed",
                ("outcome", &["published", "failed"]),
            )?,
            packs_rewritten: counter(
                r,
                "mimi_packs_rewritten_total",
                "Live versions whose files were rewritten in place",
            )?,
            self_tests: known(
                r,
                "mimi_self_tests_total",
                "Self-tests, by outcome: passed, failed, remembered",
                ("outcome", &["passed", "failed", "remembered"]),
            )?,
            folder_errors: known(
                r,
                "mimi_folder_errors_total",
                "Failed looks at the folder of packs, by what was looked at: root, task, version",
                ("at", &["root", "task", "version"]),
            )?,
            folder_held: gauge(
                r,
                "mimi_folder_held_tasks",
                "Tasks served although the folder lacks them; alert above 0",
            )?,
            folder_passed_over: gauge(
                r,
                "mimi_folder_passed_over",
                "Folders ignored because their name is neither a task id nor a version",
            )?,
            folder_unwatched: gauge(
                r,
                "mimi_folder_unwatched_tasks",
                "Tasks without change notices, compared by time",
            )?,
        })
    }
}
