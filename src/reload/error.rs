//! Why a version is not published.

use std::sync::Arc;

use crate::catalog::{self, FailureKind};
use crate::pack::TaskId;
use crate::{engine, image, pack, shelf};

/// Why a version was not published, or the folder of packs was not read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The task has no folder or no version in it.
    #[error("task {0} has no version in the folder of packs")]
    NoVersion(TaskId),
    /// The task's folder cannot be listed; what is live stays live.
    #[error("task {task}: its folder cannot be listed: {reason}")]
    Listing {
        /// The task.
        task: TaskId,
        /// The system's reason.
        reason: String,
    },
    /// The folder of packs cannot be listed.
    #[error(transparent)]
    Folder(#[from] catalog::Error),
    /// The pack cannot be read or does not fit.
    #[error(transparent)]
    Pack(#[from] pack::Error),
    /// Its files changed while they were read, or since.
    #[error("task {task} version {version}: its files changed while they were read")]
    Changed {
        /// The task.
        task: TaskId,
        /// The version.
        version: u64,
    },
    /// The engine could not compile or run it.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// A stored image cannot be read.
    #[error("self-test image {index}: {source}")]
    SelfTestImage {
        /// Which image.
        index: usize,
        /// What is wrong with it.
        source: image::Error,
    },
    /// A stored input does not give its stored logits.
    #[error(
        "self-test image {index}: logit {class} is {found}, stored {expected} (allowed difference {allowed})"
    )]
    SelfTest {
        /// Which image.
        index: usize,
        /// Which class.
        class: usize,
        /// What the engine gave.
        found: f32,
        /// What is stored.
        expected: f32,
        /// The largest allowed difference.
        allowed: f32,
    },
    /// The task's owner has as many tasks as it may have.
    #[error("task {task} is not published: tenant {} has {most} of {most} tasks", over.owner, most = over.most)]
    OverLimit {
        /// The task.
        task: TaskId,
        /// Whose it is, and how many those are.
        over: catalog::OverLimit,
    },
    /// A version that came with a request has a number that it cannot have.
    #[error("task {task}: {reason}")]
    Refused {
        /// The task.
        task: TaskId,
        /// Why not.
        reason: String,
    },
    /// A version's number is none.
    #[error("task {task}: version {version:?} is not served: it is not a number")]
    NoNumber {
        /// The task.
        task: TaskId,
        /// What was given.
        version: String,
    },
    /// The store that packs come from did not say, or its pointer is wrong.
    #[error("task {task}: {error}")]
    Source {
        /// The task.
        task: TaskId,
        /// What went wrong.
        error: Arc<shelf::Error>,
    },
    /// Too many tasks are asked about at the store.
    #[error("task {task}: {limit} other tasks are being looked up already")]
    Crowded {
        /// The task.
        task: TaskId,
        /// The limit.
        limit: usize,
    },
    /// The failure of a check that several requests waited for.
    #[error(transparent)]
    Shared(Arc<Error>),
    /// A task of the blocking pool was cancelled.
    #[error("reading was interrupted: {0}")]
    Interrupted(String),
}

impl Error {
    /// What the task's status says of it, to whoever may see the task.
    pub(super) fn shown(&self) -> String {
        match self.inner() {
            Self::OverLimit { .. } => catalog::OVER_LIMIT.to_owned(),
            _ => self.told(),
        }
    }

    /// What callers are told of it: nothing of where a store is.
    pub fn told(&self) -> String {
        match self.inner() {
            Self::Source { task, error } => format!("task {task}: {}", error.told()),
            _ => self.to_string(),
        }
    }

    /// Whether a store failed, which says nothing of what is in it.
    pub fn is_of_store(&self) -> bool {
        matches!(self.inner(), Self::Source { error, .. } if error.is_passing())
    }

    /// The error itself, without [`Error::Shared`] around it.
    pub fn inner(&self) -> &Self {
        match self {
            Self::Shared(error) => error.inner(),
            error => error,
        }
    }

    /// Whether the version's answers are wrong.
    pub(super) fn is_of_self_test(&self) -> bool {
        matches!(self.inner(), Self::SelfTest { .. } | Self::SelfTestImage { .. })
    }

    /// Whether it may pass, and when.
    pub(super) fn kind(&self) -> FailureKind {
        match self.inner() {
            Self::Pack(error) => FailureKind::of(error),
            Self::Changed { .. } => FailureKind::Incomplete,
            Self::OverLimit { .. } => FailureKind::OverLimit,
            Self::SelfTest { .. } | Self::SelfTestImage { .. } => FailureKind::Broken,
            _ => FailureKind::Unreadable,
        }
    }
}
