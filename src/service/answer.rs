//! What a door gets.

use super::error::Error;
use super::predictions::Prediction;
use super::spent::Spent;
use crate::pack::TaskId;

/// What one task says of images.
#[derive(Debug)]
pub struct Answered {
    /// The task.
    pub task: TaskId,
    /// The version that answered, the same for all images.
    pub version: u64,
    /// For each image, the likeliest classes first.
    pub predictions: Vec<Vec<Prediction>>,
    /// What it cost.
    pub spent: Spent,
}

/// What several tasks say of one image, in the order asked for.
#[derive(Debug)]
pub struct AnsweredMany {
    /// One for each task.
    pub tasks: Vec<TaskAnswer>,
    /// The cost of everything.
    pub spent: Spent,
}

/// One task's part; the other tasks answer all the same.
#[derive(Debug)]
pub struct TaskAnswer {
    /// The task's name as it was asked for.
    pub name: String,
    /// What it says, or why it says nothing.
    pub outcome: Result<Answered, Error>,
}
