//! A training in numbers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::measure::predict::Measure;
use super::model::Model;

/// Where a training stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Prunings before.
    pub cycle: usize,
    /// Epochs of this cycle before.
    pub epoch: usize,
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
    /// Combines what was measured during an epoch and after it.
    pub fn new(place: Place, seen: Measure, held_out: Measure, rate: f64) -> Self {
        Self {
            cycle: place.cycle,
            epoch: place.epoch,
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
    #[serde(deserialize_with = "rate")]
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

/// Everything that a training measured on its way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// Every epoch, in order.
    pub epochs: Vec<Epoch>,
    /// Every training between two prunings, in order. A head alone has none.
    pub cycles: Vec<Cycle>,
}

/// JSON has no infinity: the rate of modules without neurons is written as null.
fn rate<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::INFINITY))
}

impl History {
    /// Which cycle left `model`: the last one with as many neurons. An accuracy target may go back a cycle.
    pub fn cycle_of(&self, model: &Model) -> Option<usize> {
        let neurons = model.neurons();
        self.cycles.iter().rposition(|cycle| cycle.neurons == neurons)
    }
}
