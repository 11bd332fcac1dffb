//! Results of runs, kept in a file so that an interrupted comparison can be continued.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::contender::Contender;
use crate::files::write_atomically;
use crate::train::fingerprint::Fingerprint;
use crate::train::history::Cycle;
use crate::train::measure::predict::Measure;

/// A training's end in numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Who.
    pub contender: Contender,
    /// The run's seed.
    pub seed: u64,
    /// Prunings before it.
    pub cycle: usize,
    /// Epochs up to it, the run's earlier trainings included.
    pub epochs: usize,
    /// Adapter neurons.
    pub neurons: usize,
    /// Sites that have an adapter.
    pub adapters: usize,
    /// Parameters of the adapters, or weights of the backbone that are trained.
    pub adapter_parameters: usize,
    /// FLOPs of one image, a multiply-add counting as 2.
    pub flops: u64,
    /// Accuracy on the training images in the last epoch, 0 to 1.
    pub train_accuracy: f64,
    /// Accuracy on the held-out images, 0 to 1.
    pub accuracy: f64,
    /// Mean loss on the held-out images, nats.
    pub loss: f64,
}

impl Point {
    /// Of one training; the caller sets `epochs`.
    pub(super) fn new(contender: Contender, seed: u64, cycle: &Cycle, held_out: &Measure) -> Self {
        Self {
            contender,
            seed,
            cycle: cycle.cycle,
            epochs: 0,
            neurons: cycle.neurons,
            adapters: cycle.widths.len(),
            adapter_parameters: cycle.adapter_parameters,
            flops: cycle.flops,
            train_accuracy: cycle.train_accuracy,
            accuracy: held_out.accuracy,
            loss: held_out.loss,
        }
    }
}

/// All points so far, and their file.
#[derive(Clone, Debug)]
pub struct Results {
    path: PathBuf,
    kept: Kept,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    settings: Value,
    points: Vec<Point>,
}

impl Results {
    /// Reads the results of an earlier run of the same comparison; empty if there is no file.
    ///
    /// # Errors
    /// When the file cannot be read or was made with other settings.
    pub fn open(path: &Path, settings: Fingerprint) -> Result<Self> {
        let context = || path.display().to_string();
        let kept = match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(context)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Kept { settings: serde_json::to_value(&settings)?, points: Vec::new() }
            }
            Err(error) => return Err(error).with_context(context),
        };
        if let Some(reason) = settings.refuses(&kept.settings) {
            bail!("{} holds another comparison: {reason}", path.display());
        }
        Ok(Self { path: path.to_owned(), kept })
    }

    /// Every point.
    pub fn points(&self) -> &[Point] {
        &self.kept.points
    }

    /// Whether a run is here already.
    pub fn holds(&self, contender: Contender, seed: u64) -> bool {
        self.kept.points.iter().any(|point| point.contender == contender && point.seed == seed)
    }

    /// Adds a run and writes the file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn add(&mut self, points: Vec<Point>) -> Result<()> {
        self.kept.points.extend(points);
        let bytes = serde_json::to_vec_pretty(&self.kept)?;
        write_atomically(&self.path, &bytes).with_context(|| self.path.display().to_string())
    }
}
