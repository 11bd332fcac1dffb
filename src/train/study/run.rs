//! A run of a comparison: what it was, and what it gave.

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::machine::Machine;
use crate::backbone::hex;
use crate::train::fingerprint::Fingerprint;

/// What a run is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// To choose settings: trained on four fifths of the training images, measured on the fifth.
    Tuning,
    /// To be told: trained on all training images, measured once on the images kept for that.
    Result,
}

/// A run, before it is made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What it is for.
    pub purpose: Purpose,
    /// The set's name.
    pub set: String,
    /// The method's name.
    pub method: String,
    /// Seed of first values and orders.
    pub seed: u64,
    /// The method's settings, as packs name them.
    pub settings: Map<String, Value>,
    /// Epochs in all.
    pub epochs: usize,
    /// SHA-256 of the set's labels, and of class and bytes of every image.
    pub images: String,
}

/// A run that was made: a line of the file of results.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// What it was.
    #[serde(flatten)]
    pub plan: Plan,
    /// Version of this software.
    pub version: String,
    /// What made it.
    #[serde(default)]
    pub machine: Machine,
    /// SHA-256 of the study's protocol; none of a comparison without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// The backbone's name.
    pub backbone: String,
    /// SHA-256 of its weights.
    pub fingerprint: String,
    /// First block that may be changed.
    pub first_block: usize,
    /// Where the set lies, and how it is divided.
    pub origin: Value,
    /// What it was measured on.
    pub measured_on: String,
    /// Classes.
    pub classes: usize,
    /// Steps in all.
    pub steps: usize,
    /// Its result.
    #[serde(flatten)]
    pub figures: Figures,
}

/// What a run gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Images trained on.
    pub train_images: usize,
    /// Images measured on.
    pub measured_images: usize,
    /// Share of the measured images whose class was found, 0 to 1.
    pub accuracy: f64,
    /// The same, as a mean over classes.
    pub macro_accuracy: f64,
    /// Mean loss on them, nats.
    pub loss: f64,
    /// Accuracy on the training images in the last epoch, 0 to 1.
    pub train_accuracy: f64,
    /// What it costs.
    #[serde(flatten)]
    pub cost: Cost,
    /// Seconds that the training took in this process; less than all where it went on from a checkpoint.
    pub train_seconds: f64,
}

/// What a trained task costs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Parameters that were trained, without the head.
    pub trained_parameters: usize,
    /// Parameters of the head.
    pub head_parameters: usize,
    /// Bytes of the pack on disk, self-test included; none where there is no pack.
    pub pack_bytes: Option<u64>,
    /// Bytes of the adapters' tensors in it, few bits a weight counted as such; none where there is no pack or nobody counted.
    #[serde(default)]
    pub adapter_bytes: Option<u64>,
    /// FLOPs of one image without the head, a multiply-add counting as 2.
    pub flops: u64,
    /// FLOPs of one image under eight such tasks, what they share counted once.
    pub flops_of_8: u64,
}

impl Plan {
    /// Whether a run is for the same cell of the table: settings may differ.
    pub(super) fn is_cell_of(&self, other: &Self) -> bool {
        let cell = |plan: &Self| (plan.purpose, plan.set.clone(), plan.method.clone(), plan.seed);
        cell(self) == cell(other)
    }

    /// Identity of the run: another setting or image would give another result.
    pub(super) fn identity(&self) -> Result<Fingerprint> {
        Fingerprint::default()
            .with("settings", &self.settings)?
            .with("epochs", &self.epochs)?
            .with("images", &self.images)
    }

    /// In what a run for the same cell differs that would change its result; none if in nothing.
    pub(super) fn differs(&self, other: &Self) -> Result<Option<String>> {
        let reason = self.identity()?.refuses(&serde_json::to_value(other.identity()?)?);
        let Self { method, set, seed, .. } = self;
        Ok(reason.map(|reason| format!("for {method} on {set} with seed {seed}, {reason}")))
    }

    /// A short name that no other run has, nor the same run by another program.
    pub(super) fn digest(&self, program: &str) -> Result<String> {
        let digest = Sha256::new_with_prefix(serde_json::to_vec(self)?).chain_update(program).finalize();
        Ok(hex(&digest[..8]))
    }
}

impl Run {
    /// Parameters that were trained, the head's included.
    pub fn parameters(&self) -> usize {
        self.figures.cost.trained_parameters + self.figures.cost.head_parameters
    }
}
