//! What a door gets.

use super::error::Error;
use super::maker::Maker;
use super::predictions::Predictions;
use super::spent::Spent;
use crate::engine::SharedBlocks;
use crate::pack::TaskId;

/// What one task says of images.
#[derive(Debug)]
pub struct Answered {
    /// The task.
    pub task: TaskId,
    /// The version that answered, the same for all images.
    pub version: u64,
    /// What it says of each image.
    pub images: Vec<Predictions>,
    /// What made it.
    pub maker: Maker,
    /// What it cost.
    pub spent: Spent,
}

/// Features of images.
#[derive(Debug)]
pub struct Features {
    /// The task and its version; none where they are the frozen backbone's.
    pub task: Option<(TaskId, u64)>,
    /// The backbone's name: only features of the same backbone under the same version compare.
    pub backbone: String,
    /// For each image its pooled feature, what a head is applied to.
    pub images: Vec<Vec<f32>>,
    /// What made them.
    pub maker: Maker,
    /// What it cost.
    pub spent: Spent,
}

/// What several tasks say of one image, in the order asked for.
#[derive(Debug)]
pub struct AnsweredMany {
    /// One for each task.
    pub tasks: Vec<TaskAnswer>,
    /// What made all of it.
    pub maker: Maker,
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
    /// How its row ran; none where it did not.
    pub run: Option<RowRun>,
}

/// How a task's row ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowRun {
    /// FLOPs that it would have cost alone.
    pub whole_flops: u64,
    /// The blocks that it did not run alone.
    pub shared: SharedBlocks,
}
