//! A recipe's file: settings with their sources, `recipes/<name>.json`.

use anyhow::{Context, Result};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::train::optim::schedule::Shape;
use crate::train::optim::step::StepOptions;

/// What a file holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecipeFile {
    /// Width of modules, where a method has any.
    pub rank: Option<usize>,
    /// Passes over the training images.
    pub epochs: usize,
    /// Images in one step.
    pub batch: usize,
    /// Highest learning rate.
    pub learning_rate: f64,
    /// Weight decay of matrices.
    weight_decay: f64,
    /// Largest global norm of the gradients; none does not clip.
    clip: Option<f64>,
    /// Share of each target spread evenly over the classes.
    pub smoothing: f64,
    drop_path: f64,
    warmup: f64,
    start: f64,
    floor: f64,
    /// What only the method knows; it reads them itself.
    #[serde(rename = "settings", default)]
    _settings: IgnoredAny,
    /// Where the numbers come from.
    #[serde(rename = "source")]
    _source: String,
}

impl RecipeFile {
    /// Reads a method's file.
    ///
    /// # Errors
    /// When it lacks a setting or has an unknown one.
    pub fn read(method: &str, text: &str) -> Result<Self> {
        serde_json::from_str(text).with_context(|| format!("the recipe of {method}"))
    }

    /// How the rate goes up and down.
    pub fn shape(&self) -> Shape {
        Shape { warmup: self.warmup, start: self.start, floor: self.floor }
    }

    /// Settings of a step of at most `micro_batch` images run together.
    pub fn step(&self, micro_batch: usize) -> StepOptions {
        StepOptions {
            decay: self.weight_decay,
            clip: self.clip.unwrap_or(f64::INFINITY),
            drop_path: self.drop_path,
            micro_batch,
        }
    }
}
