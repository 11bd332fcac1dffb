//! Which failed versions are tried again, and when. A failure lasts until the files change; an error of reading may pass
//! by itself.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::catalog::FailureKind;
use crate::pack::{TaskId, VersionState};

/// Files younger than this are tried once more later. The coarsest file times (FAT, some network file systems) count in
/// steps of two seconds, and a second change within a step does not show.
const SETTLED: Duration = Duration::from_secs(3);
/// Shortest time that files of a version must look the same before it is tried again.
pub(super) const QUIET: Duration = Duration::from_millis(500);
/// Longest wait before a version that could not be read is tried again.
const LONGEST_WAIT: Duration = Duration::from_secs(4);

/// One failed version.
#[derive(Clone, Debug)]
struct Attempt {
    /// State of its files; none if the system could not say.
    state: Option<VersionState>,
    /// Since when they have looked so.
    since: Instant,
    kind: FailureKind,
    /// Errors of reading in a row.
    errors: u32,
    /// When it is tried again although nothing changes.
    due: Option<Instant>,
}

/// The failed versions of every task.
#[derive(Debug, Default)]
pub(super) struct Attempts(BTreeMap<TaskId, BTreeMap<u64, Attempt>>);

impl Attempts {
    /// Whether to try a version now whose files look as `state`. Files that have just changed may still be changing: they
    /// are tried once they look the same twice, `quiet` apart.
    pub(super) fn is_due(
        &mut self,
        task: &TaskId,
        version: u64,
        state: Option<VersionState>,
        now: Instant,
        quiet: Duration,
    ) -> bool {
        let Some(attempt) = self.0.get_mut(task).and_then(|versions| versions.get_mut(&version)) else {
            return true;
        };
        if state.is_some() && state != attempt.state {
            (attempt.state, attempt.since, attempt.errors) = (state, now, 0);
            attempt.due = Some(now + quiet);
        }
        attempt.due.is_some_and(|due| due <= now)
    }

    /// Records a failure of files that looked as `state`. Returns whether it is the first of its kind, which is logged.
    pub(super) fn failed(
        &mut self,
        task: &TaskId,
        version: u64,
        state: Option<VersionState>,
        kind: FailureKind,
        now: Instant,
    ) -> bool {
        let versions = self.0.entry(task.clone()).or_default();
        let before = versions.get(&version).cloned();
        let is_news = before.as_ref().is_none_or(|before| before.kind != kind);
        let same = before.filter(|before| before.state == state);
        let since = same.as_ref().map_or(now, |before| before.since);
        let errors = same.map_or(0, |before| before.errors) + 1;
        let due = match kind {
            FailureKind::Unreadable | FailureKind::OverLimit => Some(now + wait(errors)),
            _ => (now < since + SETTLED).then_some(since + SETTLED),
        };
        versions.insert(version, Attempt { state, since, kind, errors, due });
        is_news
    }

    /// Forgets what was tried of a task.
    pub(super) fn forget(&mut self, task: &TaskId) {
        self.0.remove(task);
    }

    /// Forgets the failed versions up to one that is now live.
    pub(super) fn passed(&mut self, task: &TaskId, version: u64) {
        if let Some(tried) = self.0.get_mut(task) {
            tried.retain(|tried, _| *tried > version);
        }
    }

    /// Forgets the versions up to the live one and those that are gone. Returns whether a version before the live one is
    /// left: it was tried because the live one's folder is gone for good, and must be tried again.
    pub(super) fn retain(&mut self, task: &TaskId, live: Option<u64>, versions: &[u64]) -> bool {
        let Some(tried) = self.0.get_mut(task) else { return false };
        let has = |version: &u64| versions.binary_search(version).is_ok();
        let is_gone = live.is_some_and(|live| !has(&live));
        tried.retain(|version, _| (is_gone || Some(*version) > live) && has(version));
        let is_lost = tried.keys().any(|version| Some(*version) < live);
        if tried.is_empty() {
            self.0.remove(task);
        }
        is_lost
    }

    /// Tasks with a failed version.
    pub(super) fn tasks(&self) -> impl Iterator<Item = &TaskId> {
        self.0.keys()
    }
}

/// 1, 2, 4, 4, … seconds.
fn wait(errors: u32) -> Duration {
    LONGEST_WAIT.min(Duration::from_secs(1 << (errors.clamp(1, 3) - 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_tried_in_place_of_a_lost_version_is_tried_again() {
        let task: TaskId = "t".parse().unwrap();
        let mut attempts = Attempts::default();
        attempts.failed(&task, 1, None, FailureKind::Unreadable, Instant::now());
        // Version 2 is live and its folder is gone: version 1 was tried in its place.
        assert!(attempts.retain(&task, Some(2), &[1]));
        assert_eq!(attempts.tasks().count(), 1);
        // It is back.
        assert!(!attempts.retain(&task, Some(2), &[1, 2]));
        assert_eq!(attempts.tasks().count(), 0);
    }
}
