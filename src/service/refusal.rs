//! A refusal, and what an answer cost, as a door leaves them with its answer.

use std::sync::Arc;
use std::time::Duration;

use super::code::Code;
use super::error::Error;
use super::rejection::{Ending, Rejection};
use crate::pack::TaskId;

/// Why a request has no answer, in the words that its caller is told. A door leaves it with its answer: for whoever
/// charges the request, and for whoever tells it in another protocol.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{told}")]
pub struct Refusal {
    /// The code.
    pub code: Code,
    /// What the caller is told.
    pub told: String,
    /// How long to wait before the same request.
    pub retry: Option<Duration>,
    /// Why it was turned away, if it was whatever it asked.
    pub rejection: Option<Rejection>,
}

impl Refusal {
    /// A refusal that only a door knows.
    pub fn new(code: Code, told: impl Into<String>) -> Self {
        Self { code, told: told.into(), retry: code.retry(), rejection: Rejection::of_code(code) }
    }
}

impl From<&Refusal> for Ending {
    fn from(refusal: &Refusal) -> Self {
        Self { code: refusal.code, rejection: refusal.rejection }
    }
}

impl From<&Error> for Refusal {
    fn from(error: &Error) -> Self {
        let Ending { code, rejection } = Ending::from(error);
        Self { code, told: error.told(), retry: error.retry(), rejection }
    }
}

/// What an answer was about; a handler leaves it with its answer. Rows are charged when they have run.
#[derive(Clone, Debug, Default)]
pub struct Costs {
    /// Images that were decoded.
    pub images: u64,
    /// The task, if it is one.
    pub task: Option<Arc<str>>,
    /// Bytes of the answer, where its body does not tell.
    pub bytes_out: u64,
}

impl Costs {
    /// Images that were decoded, and the task if it is one.
    pub fn new(images: usize, task: Option<&TaskId>) -> Self {
        let task = task.map(|task| Arc::from(task.as_str()));
        Self { images: images as u64, task, bytes_out: 0 }
    }
}
