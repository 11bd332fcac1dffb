//! The interface of a training method.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::{Map, Value};

use crate::backbone::{BackboneConfig, Module};
use crate::graph::Graph;
use crate::train::data::intake::Intake;
use crate::train::data::load::Loaded;
use crate::train::data::rows::Rows;
use crate::train::history::History;
use crate::train::model::Model;
use crate::train::progress::Observer;
use crate::train::setup::Setup;

/// A method of training a task.
pub trait TrainingMethod {
    /// Its name, for a pack's provenance.
    fn name(&self) -> &'static str;

    /// Its settings, for a pack's provenance.
    fn settings(&self) -> Map<String, Value>;

    /// Checks the settings against a backbone.
    ///
    /// # Errors
    /// With the setting that does not make sense.
    fn check(&self, config: &BackboneConfig) -> Result<()>;

    /// How images are prepared before the first step.
    fn intake(&self, config: &BackboneConfig) -> Intake;

    /// Most images that are run together in a step, where memory has no bound.
    fn micro_batch(&self) -> usize {
        1
    }

    /// Memory demand beside the images, for `classes` classes.
    ///
    /// # Errors
    /// When the backbone's configuration contradicts itself.
    fn demand(&self, config: &BackboneConfig, classes: usize) -> Result<Demand>;

    /// Whether the held-out accuracy decides when the training ends.
    fn is_chosen_by_held_out(&self) -> bool {
        false
    }

    /// Trains.
    ///
    /// # Errors
    /// When a run fails, an image can no longer be read, or the loss is no longer finite.
    fn train(&self, course: Course<'_>, observe: &mut Observer<'_>) -> Result<Trained>;
}

/// Memory demand of a training beside its images.
pub struct Demand {
    /// Parameters that are trained.
    pub parameters: usize,
    /// Steps on minibatches; none where features suffice.
    pub steps: Option<StepDemand>,
}

/// Memory demand of a step.
pub struct StepDemand {
    /// The graph of a step on the images as they are given.
    pub graph: Graph,
    /// Images of a minibatch.
    pub batch: usize,
    /// Width of each module.
    pub widths: BTreeMap<Module, usize>,
}

/// Everything a training needs.
pub struct Course<'a> {
    /// Backbone and limits.
    pub setup: &'a Setup,
    /// Classes.
    pub classes: usize,
    /// The images.
    pub images: Loaded,
    /// Most images that are run together.
    pub micro_batch: usize,
    /// Where the training's state is kept between epochs.
    pub checkpoint: Checkpoint<'a>,
    /// Keeps the model that each training between two prunings left.
    pub keep: &'a dyn Fn(&Snapshot<'_>) -> Result<()>,
}

/// Where a training's state is kept.
#[derive(Clone, Copy, Debug)]
pub struct Checkpoint<'a> {
    /// The file.
    pub path: &'a Path,
    /// Whether to go on from it, where there is one.
    pub resume: bool,
}

/// Shares of images whose class was found, 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Accuracies {
    /// Among the images trained on.
    pub train: f64,
    /// Among the held-out images.
    pub held_out: f64,
}

/// A model with everything its pack and report need.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot<'a> {
    /// The model.
    pub model: &'a Model,
    /// Held-out images, as inputs of some block. An accuracy target may return a model that needs an earlier block.
    pub held_out: &'a Rows,
    /// How the training went.
    pub history: &'a History,
    /// What the model scored.
    pub accuracies: Accuracies,
}

/// The result of a training.
pub struct Trained {
    /// The model.
    pub model: Model,
    /// Held-out images, where the training left them.
    pub held_out: Rows,
    /// How it went.
    pub history: History,
    /// What the model scored.
    pub accuracies: Accuracies,
    /// State on disk, of no use once the pack is written.
    pub checkpoint: Option<PathBuf>,
}

impl Trained {
    /// Everything its pack and report need.
    pub fn snapshot(&self) -> Snapshot<'_> {
        let Self { model, held_out, history, accuracies, .. } = self;
        Snapshot { model, held_out, history, accuracies: *accuracies }
    }
}
