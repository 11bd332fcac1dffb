//! What to train.

use std::path::PathBuf;

use super::data::dataset::origin::Origin;
use super::measure::gate::Gate;
use super::method::Method;
use crate::pack::TaskId;

/// What to train.
#[derive(Clone, Debug)]
pub struct TaskOptions {
    /// The task's name.
    pub task: TaskId,
    /// Images, and how they are divided.
    pub images: Origin,
    /// What the images are, for the pack's provenance.
    pub description: String,
    /// Folder of packs.
    pub adapters: PathBuf,
    /// Folder for a pack after each cycle but the last, in the same layout; none are kept without it.
    pub cycles: Option<PathBuf>,
    /// File the state of adapters in training is written to after every epoch; removed when the pack is written.
    pub checkpoint: PathBuf,
    /// Whether to go on from that file, where there is one.
    pub resume: bool,
    /// Most bytes that training takes beside the backbone (see [`Fit`](super::Fit)); no bound without it.
    pub memory: Option<u64>,
    /// Share of the answers kept that must be right, 0 to 1: others are guesses. Every answer counts without it.
    pub abstain_accuracy: Option<f64>,
    /// What the pack must reach to be written to the folder of packs.
    pub gate: Gate,
    /// How.
    pub method: Method,
}
