//! Why the engine gives no answer.

use std::sync::Arc;
use std::time::Duration;

use crate::graph::Plan;

/// What became of a row that has no answer. `Clone`, because one failed run answers a whole batch.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The rows asked for and those in flight would exceed the limit.
    #[error("{admitted} row(s) are in flight and {asked} more would exceed the limit of {limit}")]
    Overloaded {
        /// Rows in flight.
        admitted: usize,
        /// Rows asked for.
        asked: usize,
        /// The limit.
        limit: usize,
        /// When rows in flight will have gone, by what was measured.
        retry_after: Duration,
    },
    /// As [`Error::Overloaded`], where rows are others' too.
    #[error("there is no room for {asked} more row(s) now")]
    Full {
        /// Rows asked for.
        asked: usize,
        /// When to try again; the same whatever others have in flight.
        retry_after: Duration,
    },
    /// The flow has as many rows in flight as it may beside others.
    #[error("{held} of the caller's rows are in flight and there is no room for {asked} more now")]
    Crowded {
        /// The flow's rows in flight.
        held: usize,
        /// Rows asked for.
        asked: usize,
        /// When the flow's rows in flight will have gone, by what was measured.
        retry_after: Duration,
    },
    /// The rows' turn would come after their deadline.
    // Not when its turn would come: that tells of others' rows.
    #[error("the row's turn would come after its deadline, which passes in {:.1} s", left.as_secs_f64())]
    TooLate {
        /// When its turn would come, by what was measured.
        turn: Duration,
        /// When its deadline passes.
        left: Duration,
    },
    /// The rows asked for exceed the limit by themselves.
    #[error("{asked} rows at once: at most {limit} rows are ever in flight")]
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
    /// The worker does not have the program that its batch was laid out for.
    #[error("the worker has no program for {0}")]
    NoProgram(Box<Plan>),
    /// A program returned a different number of rows than it was given.
    #[error("the program for {plan} gave {found} row(s) for {expected}")]
    Rows {
        /// What the program computes.
        plan: Box<Plan>,
        /// Rows it gave.
        found: usize,
        /// Rows it was given.
        expected: usize,
    },
    /// The logits are no finite numbers: the image, the pack or a lower precision makes a sum overflow.
    #[error("the logits are not finite")]
    NotFinite,
    /// Every device is out: its last batches failed.
    #[error("no device answers: the last batches of each failed")]
    NoDevice,
    /// Every place of the bank is being read.
    #[error("every place for a pack on the device is being read")]
    BankFull,
    /// A worker stopped before it answered.
    #[error("the worker stopped before it answered")]
    WorkerLost,
    /// The compiler stopped before a program was ready.
    #[error("the compiler stopped before the program was ready")]
    CompilerLost,
}

impl Error {
    /// When the same rows may be admitted, where that can be told.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Overloaded { retry_after, .. }
            | Self::Full { retry_after, .. }
            | Self::Crowded { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }
}

impl From<crate::runtime::Error> for Error {
    fn from(error: crate::runtime::Error) -> Self {
        Self::Runtime(Arc::new(error))
    }
}
