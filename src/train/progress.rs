//! What a training tells whoever watches it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::model::Model;
use super::predict::Measure;

/// News of a training.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// Something odd, worth a line.
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
    /// A training between two prunings ended; the model is as it will be kept.
    Cycle(&'a Cycle, &'a Model),
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

/// An epoch in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// The training it belongs to, from 0.
    pub cycle: usize,
    /// Its number in that training, from 0.
    pub epoch: usize,
    /// Mean training loss, smoothing included, while the model changed.
    pub loss: f64,
    /// Accuracy on the training images while the model changed, 0 to 1.
    pub accuracy: f64,
    /// Accuracy on the held-out images after it, 0 to 1.
    pub validation_accuracy: f64,
    /// Mean loss on the held-out images after it, nats.
    pub validation_loss: f64,
    /// Training images a second; not part of what a seed determines.
    #[serde(skip)]
    pub rate: f64,
}

impl Epoch {
    /// Puts what was measured while and after an epoch together; `place` is cycle and epoch.
    pub fn new(place: (usize, usize), (seen, held_out): (Measure, Measure), rate: f64) -> Self {
        Self {
            cycle: place.0,
            epoch: place.1,
            loss: seen.loss,
            accuracy: seen.accuracy,
            validation_accuracy: held_out.accuracy,
            validation_loss: held_out.loss,
            rate,
        }
    }
}

/// A training between two prunings in numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cycle {
    /// Its number, from 0.
    pub cycle: usize,
    /// `Σ M / Σ N` over the sites there were at first.
    pub sigma: f64,
    /// Adapter neurons.
    pub neurons: usize,
    /// Width of each adapter, by site.
    pub widths: BTreeMap<String, usize>,
    /// Parameters of the adapters.
    pub adapter_parameters: usize,
    /// Parameters of adapters and head.
    pub parameters: usize,
    /// FLOPs of one image, a multiply-add counting as 2.
    pub flops: u64,
    /// Mean training loss of the last epoch.
    pub loss: f64,
    /// Accuracy on the training images in the last epoch, 0 to 1.
    pub train_accuracy: f64,
    /// Accuracy on the held-out images, 0 to 1.
    pub validation_accuracy: f64,
    /// Mean loss on the held-out images, nats.
    pub validation_loss: f64,
}
