//! Counters by task. A server may have ten thousand tasks, so these lines are written without a registry's copies.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

/// Answered requests.
const REQUESTS: &str = "mimi_requests_total";
const REQUESTS_HELP: &str = "Answered requests, by task and code (ok or an error code)";
/// FLOPs.
const FLOPS: &str = "mimi_flops_total";
const FLOPS_HELP: &str = "Floating-point operations spent on rows that ran, by task";

/// Bytes of a task's usual lines, for a text to grow once.
const LINES_BYTES: usize = 128;

/// What one task did.
#[derive(Default)]
struct Counts {
    /// Requests by code; the few that came up.
    requests: Mutex<Vec<(&'static str, u64)>>,
    flops: AtomicU64,
}

impl Counts {
    fn requests(&self) -> MutexGuard<'_, Vec<(&'static str, u64)>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn request(&self, code: &'static str) {
        let mut requests = self.requests();
        match requests.iter_mut().find(|(known, _)| *known == code) {
            Some((_, count)) => *count += 1,
            None => requests.push((code, 1)),
        }
    }
}

/// Counters by task. Tasks come from the catalog, never from a request's text, and codes from a fixed table.
#[derive(Default)]
pub struct TaskCounters {
    tasks: RwLock<HashMap<Arc<str>, Counts>>,
}

impl TaskCounters {
    /// Counts an answered request.
    pub fn request(&self, task: &str, code: &'static str) {
        self.change(task, |counts| counts.request(code));
    }

    /// Adds FLOPs of a row that ran.
    pub fn spent(&self, task: &str, flops: u64) {
        self.change(task, |counts| {
            counts.flops.fetch_add(flops, Ordering::Relaxed);
        });
    }

    /// Requests of a task that ended with a code.
    pub fn requests(&self, task: &str, code: &str) -> u64 {
        let tasks = self.read();
        let found = tasks.get(task).map(Counts::requests);
        found
            .and_then(|all| all.iter().find(|(known, _)| *known == code).map(|(_, count)| *count))
            .unwrap_or(0)
    }

    /// FLOPs of a task.
    pub fn flops(&self, task: &str) -> u64 {
        self.read().get(task).map_or(0, |counts| counts.flops.load(Ordering::Relaxed))
    }

    /// Forgets a task that is no longer published.
    pub(super) fn forget(&self, task: &str) {
        self.tasks.write().unwrap_or_else(PoisonError::into_inner).remove(task);
    }

    /// Writes both families.
    pub(super) fn write(&self, text: &mut String) {
        let tasks = self.read();
        let mut all: Vec<(&Arc<str>, &Counts)> = tasks.iter().collect();
        if all.is_empty() {
            return;
        }
        all.sort_unstable_by_key(|(task, _)| *task);
        text.reserve(all.len() * LINES_BYTES);
        head(text, (FLOPS, "counter"), FLOPS_HELP);
        for (task, counts) in &all {
            let parts = [FLOPS, "{task=\"", task, "\"} "];
            line(text, &parts, counts.flops.load(Ordering::Relaxed));
        }
        head(text, (REQUESTS, "counter"), REQUESTS_HELP);
        for (task, counts) in &all {
            for (code, count) in counts.requests().iter() {
                line(text, &[REQUESTS, "{code=\"", code, "\",task=\"", task, "\"} "], *count);
            }
        }
    }

    fn change(&self, task: &str, change: impl FnOnce(&Counts)) {
        if let Some(counts) = self.read().get(task) {
            return change(counts);
        }
        change(self.tasks.write().unwrap_or_else(PoisonError::into_inner).entry(task.into()).or_default());
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<Arc<str>, Counts>> {
        self.tasks.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A line of parts and a number. Names of tasks have no sign that would need an escape.
fn line(text: &mut String, parts: &[&str], value: u64) {
    parts.iter().for_each(|part| text.push_str(part));
    // Writing to a text does not fail.
    let _ = writeln!(text, "{value}");
}

/// Begins a family.
pub(super) fn head(text: &mut String, (name, kind): (&str, &str), help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}
