//! What an inference gives.

use super::{Parameters, Tensor};
use crate::pack::TaskId;
use crate::service::{Maker, Spent};

/// The answer.
#[derive(Clone, Debug)]
pub struct InferResponse {
    /// The task.
    pub model_name: String,
    /// The version that answered.
    pub model_version: String,
    /// The request's.
    pub id: Option<String>,
    /// What made the answer: `version`, `pack_digest`, `backbone`, `precision`, `build`.
    pub parameters: Parameters,
    /// The outputs in the order asked for.
    pub outputs: Vec<Tensor>,
}

/// The answer with what a door needs beside it.
#[derive(Clone, Debug)]
pub struct Inferred {
    /// The answer.
    pub response: InferResponse,
    /// The task.
    pub task: TaskId,
    /// Images that were answered.
    pub images: usize,
    /// What made it.
    pub maker: Maker,
    /// What it cost.
    pub spent: Spent,
}
