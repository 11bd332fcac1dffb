//! What an inference asks.

use std::time::Instant;

use super::{Parameters, Tensor};
use crate::tenants::Caller;

/// One inference.
#[derive(Clone, Debug, Default)]
pub struct InferRequest {
    /// The client's name for it, which comes back.
    pub id: Option<String>,
    /// `top_k`, `timeout`; others are a client's own.
    pub parameters: Parameters,
    /// Images, as one tensor.
    pub inputs: Vec<Tensor>,
    /// What is wanted; nothing asks for what the task gives by default.
    pub outputs: Vec<RequestedOutput>,
}

/// An output that is wanted.
#[derive(Clone, Debug, Default)]
pub struct RequestedOutput {
    /// Its name.
    pub name: String,
    /// `classification`; others are the door's.
    pub parameters: Parameters,
}

/// How a request came.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// When.
    pub at: Instant,
    /// When the answer is of no more use.
    pub deadline: Instant,
    /// Whether what frozen blocks give for its images may be kept and looked up.
    pub may_keep: bool,
    /// Whose request it is.
    pub caller: Caller,
}
