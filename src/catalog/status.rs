//! Status of a task.

use std::fmt;
use std::sync::Arc;

use super::error::Error;
use crate::pack::{Pack, TaskId, VersionState};

/// Why a version is not live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// A file is missing or ends too early, as during a copy; tried again when its files change.
    Incomplete,
    /// The system could not read it; tried again by itself.
    Unreadable,
    /// It is whole and wrong; tried again when its files change.
    Broken,
    /// Its owner has as many tasks as it may have; tried again by itself.
    OverLimit,
}

impl FailureKind {
    /// The kind of a failure to read a pack.
    pub fn of(error: &crate::pack::Error) -> Self {
        match error {
            error if error.is_of_reading() => Self::Unreadable,
            error if error.may_be_incomplete() => Self::Incomplete,
            _ => Self::Broken,
        }
    }

    /// When it is tried again.
    pub fn retried(self) -> &'static str {
        match self {
            Self::Unreadable => "by itself, ever more seldom",
            Self::OverLimit => "by itself",
            Self::Incomplete | Self::Broken => "when its files change",
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Incomplete => "incomplete",
            Self::Unreadable => "unreadable",
            Self::Broken => "broken",
            Self::OverLimit => "over_limit",
        })
    }
}

/// A version that could not be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The version.
    pub version: u64,
    /// Why not, in one word.
    pub kind: FailureKind,
    /// Why not.
    pub reason: String,
}

/// A task's pack as one request gets it.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The live version.
    pub version: u64,
    /// Its pack.
    pub pack: Arc<Pack>,
    /// Whether this request had it read from disk.
    pub is_fresh: bool,
}

/// A version that was read from disk.
#[derive(Clone, Debug)]
pub struct VersionRead {
    /// Its pack.
    pub pack: Arc<Pack>,
    /// How its files looked.
    pub state: VersionState,
}

/// What the catalog knows about a task without reading its pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskStatus {
    /// The task.
    pub task: TaskId,
    /// The version that answers; none when no version could be published yet.
    pub live: Option<u64>,
    /// Whether its pack is in memory.
    pub resident: bool,
    /// The newest version that could not be published, until a newer one is.
    pub failure: Option<Failure>,
    /// Why the task is kept as it was although its folder lacks it or cannot be read.
    pub kept: Option<String>,
    /// Says that the live version's files are no longer those that were read.
    pub rewritten: Option<String>,
    /// Whether somebody asked that it answers nothing until it is loaded again.
    pub is_unloaded: bool,
}

/// The files of a live version as they were when it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The version.
    pub version: u64,
    /// What was read.
    pub digest: String,
    /// How its files looked.
    pub state: VersionState,
}

/// What is kept about a task.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    pub(super) live: Option<u64>,
    /// The older version that was live before.
    pub(super) before: Option<u64>,
    pub(super) failure: Option<Failure>,
    pub(super) kept: Option<String>,
    pub(super) rewritten: Option<String>,
    pub(super) served: Option<Served>,
}

impl Entry {
    pub(super) fn of(live: u64) -> Self {
        Self { live: Some(live), ..Self::default() }
    }

    pub(super) fn live_or_why(&self, task: &TaskId) -> Result<u64, Error> {
        self.live.ok_or_else(|| {
            let failure = self.failure.as_ref();
            let is_passing = failure.is_none_or(|failure| failure.kind != FailureKind::Broken);
            let reason = failure.map(|failure| failure.reason.clone());
            let reason = reason.or_else(|| self.kept.clone()).unwrap_or_default();
            Error::NoWorkingVersion { task: task.clone(), reason, is_passing }
        })
    }
}
