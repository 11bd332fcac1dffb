//! What an automatic choice is asked for.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::train::method::Method;
use crate::train::options::TaskOptions;

/// A way to train that may be chosen.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Its name in reports.
    pub name: String,
    /// Options of an ordinary `train-task` that train so, without seed and epochs.
    pub options: Vec<String>,
    /// What they mean.
    pub method: Method,
}

impl Candidate {
    /// Whether it is a head alone: the safety net.
    pub fn is_head(&self) -> bool {
        matches!(self.method, Method::Linear(_))
    }
}

/// What to choose.
#[derive(Clone, Debug)]
pub struct AutoOptions {
    /// The task. Its method is replaced by the chosen one.
    pub task: TaskOptions,
    /// Words of the command that asks, without those of an automatic choice.
    pub command: Vec<String>,
    /// Who takes part, the most promising first: where time is short, the last ones are left out.
    pub candidates: Vec<Candidate>,
    /// How long it may take.
    pub limit: Limit,
    /// What decides among those that are as good.
    pub prefer: Prefer,
    /// Folder for reports, in a folder of the task's name.
    pub reports: PathBuf,
    /// Seed of the split, of first values and of orders.
    pub seed: u64,
}

/// How long a choice may take.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// Seconds in all, the last training included.
    Seconds(f64),
    /// Epochs of the first rung, whatever the time: the same on every machine.
    Epochs(usize),
}

/// What decides among candidates that are as good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Prefer {
    /// The highest accuracy.
    #[default]
    Accuracy,
    /// The least FLOPs of one image under eight such tasks.
    Cost,
    /// The smallest pack.
    Bytes,
}
