//! Why there is no pack.

use std::path::PathBuf;
use std::sync::Arc;

use crate::pack::{self, TaskId};

/// Why a task has no pack to serve.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// No such task is published.
    #[error("task {0} is not published")]
    UnknownTask(String),
    /// The task has no such version.
    #[error("task {task}: version {version} is not served: there is no such version")]
    NoSuchVersion {
        /// The task.
        task: TaskId,
        /// The version.
        version: u64,
    },
    /// Somebody asked that the task answer nothing.
    #[error("task {0} is unloaded: load it to have it answer")]
    Unloaded(TaskId),
    /// The task has versions, but none of them could be published.
    #[error("task {task} has no version that works: {reason}")]
    NoWorkingVersion {
        /// The task.
        task: TaskId,
        /// What is wrong with the newest.
        reason: String,
        /// Whether it may pass: a version is still being copied, or a folder cannot be read.
        is_passing: bool,
    },
    /// The task's pack is out of reach for now: the system cannot read it, or its folder has moved.
    #[error("task {task} version {version}: {reason}")]
    OutOfReach {
        /// The task.
        task: TaskId,
        /// The version.
        version: u64,
        /// What the system says.
        reason: Arc<pack::Error>,
    },
    /// The task's pack is wrong.
    #[error("task {task} version {version}: {reason}")]
    Pack {
        /// The task.
        task: TaskId,
        /// The version.
        version: u64,
        /// What is wrong with it.
        reason: Arc<pack::Error>,
    },
    /// The folder of packs cannot be listed.
    #[error("{path}: {reason}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        reason: String,
    },
}
