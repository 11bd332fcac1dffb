//! Why the engine gives no answer.

use std::sync::Arc;

/// What became of a row that has no answer. `Clone`, because one failed run answers a whole batch.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// More rows are in the building than allowed.
    #[error("{admitted} row(s) are being served and {asked} more would exceed the limit of {limit}")]
    Overloaded {
        /// Rows being served.
        admitted: usize,
        /// Rows asked for.
        asked: usize,
        /// The limit.
        limit: usize,
    },
    /// More rows are asked for at once than ever are in the building.
    #[error("{asked} rows at once: at most {limit} are ever served together")]
    NeverFits {
        /// Rows asked for.
        asked: usize,
        /// The limit.
        limit: usize,
    },
    /// The row's deadline passed before it was run.
    #[error("the deadline passed before the row was run")]
    DeadlineExceeded,
    /// The engine is stopping.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// The batch's run failed.
    #[error("inference failed: {0}")]
    Runtime(Arc<crate::runtime::Error>),
    /// A worker stopped before it answered.
    #[error("the worker stopped before it answered")]
    WorkerLost,
}

impl From<crate::runtime::Error> for Error {
    fn from(error: crate::runtime::Error) -> Self {
        Self::Runtime(Arc::new(error))
    }
}
