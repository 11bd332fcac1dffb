//! What can be wrong with a source of packs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::pack::{self, TaskId};

/// Why a source could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is none of a source.
    #[error("{address:?} is not a source of packs: {reason}")]
    Address {
        /// What was given; it holds no credentials, or they are cut away.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The store did not answer, or answered with a failure.
    #[error("the store: {what}: {reason}")]
    Store {
        /// The object or request.
        what: String,
        /// What the client says.
        reason: String,
    },
    /// An object that must be there is not.
    #[error("the store has no {0}")]
    Absent(String),
    /// An object is larger than any of its kind needs to be.
    #[error("{what}: {bytes} bytes, more than the {limit} allowed")]
    TooLarge {
        /// The object.
        what: String,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A text is not a digest.
    #[error("invalid digest {0:?}: expected 64 of 0-9, a-f")]
    Digest(String),
    /// The bytes of a blob are not those of its name.
    #[error("{what}: sha256 is {found}, expected {expected}")]
    OtherBytes {
        /// The blob.
        what: String,
        /// Its name.
        expected: String,
        /// What came.
        found: String,
    },
    /// A blob is shorter or longer than its pointer says.
    #[error("{what}: {found} bytes, but the pointer says {expected}")]
    OtherSize {
        /// The blob.
        what: String,
        /// What the pointer says.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// A pointer is not well-formed.
    #[error("pointer of task {task}: {reason}")]
    Pointer {
        /// The task.
        task: TaskId,
        /// What is wrong.
        reason: String,
    },
    /// The change feed is not well-formed.
    #[error("change feed: {what}: {reason}")]
    Feed {
        /// The object.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// The task has no version.
    #[error("task {0} has no version in the source")]
    NoTask(TaskId),
    /// The task has no such version.
    #[error("task {task} has no version {version} in the source")]
    NoVersion {
        /// The task.
        task: TaskId,
        /// The version.
        version: u64,
    },
    /// A change would break a rule.
    #[error("task {task}: {reason}")]
    Refused {
        /// The task.
        task: TaskId,
        /// Which rule.
        reason: String,
    },
    /// Others changed the same object too often meanwhile.
    #[error("{what}: others changed it {attempts} times meanwhile; try again")]
    Contended {
        /// The object.
        what: String,
        /// How often it was tried.
        attempts: usize,
    },
    /// Somebody else changes the task's folder for too long.
    #[error("{path}: others held it for {} seconds; try again", waited.as_secs())]
    Locked {
        /// The file that is locked.
        path: PathBuf,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The source can only be read.
    #[error("{0} can only be read")]
    ReadOnly(&'static str),
    /// So many packs are being fetched that one more must wait.
    #[error("{0} packs are being fetched already; try again")]
    Busy(usize),
    /// An object stands where pointers are and is none.
    #[error("{0} is not where a pointer is: nobody can tell which blobs it names")]
    NoPointer(String),
    /// The failure of a fetch that several waited for.
    #[error(transparent)]
    Shared(Arc<Error>),
    /// A pack does not read.
    #[error(transparent)]
    Pack(#[from] pack::Error),
    /// A local file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

impl Error {
    /// Whether it says nothing about what is stored: the store or the disk failed, or others were quicker. It may pass.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Shared(error) => error.is_passing(),
            Self::Pack(error) => error.is_of_reading(),
            error => matches!(
                error,
                Self::Store { .. }
                    | Self::Io { .. }
                    | Self::Contended { .. }
                    | Self::Locked { .. }
                    | Self::Busy(_)
            ),
        }
    }

    /// What clients of a server are told of it: nothing of where the store is, or how it is asked.
    pub fn told(&self) -> String {
        match self {
            Self::Shared(error) => error.told(),
            Self::Store { .. } | Self::Contended { .. } | Self::Busy(_) => {
                "the store of packs does not answer".to_owned()
            }
            Self::Absent(_) => "the store of packs lacks it".to_owned(),
            Self::TooLarge { bytes, limit, .. } => format!("{bytes} bytes, more than the {limit} allowed"),
            Self::OtherBytes { expected, found, .. } => format!("sha256 is {found}, expected {expected}"),
            Self::OtherSize { expected, found, .. } => {
                format!("{found} bytes, but the pointer says {expected}")
            }
            error => error.to_string(),
        }
    }

    /// Names the file that an I/O error belongs to.
    pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
