//! Events of a running training.

use super::history::{Cycle, Epoch};

/// News of a training.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// A warning or a note for the user.
    Note(&'a str),
    /// Images are read and run through frozen blocks.
    Images {
        /// Which images.
        what: &'a str,
        /// Images done.
        done: usize,
        /// Images in all.
        count: usize,
        /// Images a second.
        rate: f64,
    },
    /// A step was made.
    Step(&'a Step),
    /// An epoch ended.
    Epoch(&'a Epoch),
    /// A training between two prunings ended.
    Cycle(&'a Cycle),
}

/// Hears how a training goes.
pub type Observer<'a> = dyn FnMut(Progress<'_>) + 'a;

/// Where a training stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct Step {
    /// Trainings ended before this one.
    pub cycle: usize,
    /// Epochs of this training ended before this one.
    pub epoch: usize,
    /// Epochs of one training.
    pub epochs: usize,
    /// Trainings in all, the way it looks; none where the accuracy decides.
    pub trainings: Option<usize>,
    /// Images of this epoch done.
    pub done: usize,
    /// Images of an epoch.
    pub count: usize,
    /// Mean loss of this epoch so far.
    pub loss: f64,
    /// Accuracy of this epoch so far, 0 to 1.
    pub accuracy: f64,
    /// Images a second.
    pub rate: f64,
}
