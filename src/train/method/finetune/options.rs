//! How the backbone's own weights are trained.

use anyhow::{Result, ensure};
use serde::Serialize;

use super::subset::Subset;
use crate::backbone::{BackboneConfig, Precision};
use crate::train::data::augment::options::AugmentOptions;
use crate::train::method::recipe_file::RecipeFile;
use crate::train::optim::recipe::{Recipe, check_rates};
use crate::train::optim::schedule::Shape;
use crate::train::optim::step::StepOptions;

/// Images run together, unless memory has no room for them.
const MICRO_BATCH: usize = 8;

/// How the backbone's own weights are trained.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FinetuneOptions {
    /// Which of them.
    pub subset: Subset,
    /// First block whose weights are trained; what comes before is computed once an image. From 0, the embedding is
    /// trained too, where all weights are.
    pub first_block: usize,
    /// Passes over the training images.
    pub epochs: usize,
    /// Images in one step.
    pub batch: usize,
    /// Highest learning rate.
    pub rate: f64,
    /// How the rate goes up and down.
    pub shape: Shape,
    /// Settings of a step.
    pub step: StepOptions,
    /// Share of each target spread evenly over the classes.
    pub smoothing: f64,
    /// What is done to training images.
    pub augment: AugmentOptions,
    /// Seed of the head's first values and of orders.
    pub seed: u64,
    /// Most bytes that it takes beside the backbone; no bound without it.
    pub memory: Option<u64>,
}

impl FinetuneOptions {
    /// The settings of `recipes/<name>.json`.
    ///
    /// # Errors
    /// When the recipe cannot be read.
    pub fn of(subset: Subset) -> Result<Self> {
        let recipe = RecipeFile::read(subset.name(), subset.recipe())?;
        Ok(Self {
            subset,
            first_block: 0,
            epochs: recipe.epochs,
            batch: recipe.batch,
            rate: recipe.learning_rate,
            shape: recipe.shape(),
            step: recipe.step(MICRO_BATCH),
            smoothing: recipe.smoothing,
            augment: AugmentOptions::none(),
            seed: 0,
            memory: None,
        })
    }

    /// Checks that the options can train this backbone, whose programs multiply in `precision`.
    ///
    /// # Errors
    /// With what cannot.
    pub fn check(&self, config: &BackboneConfig, precision: Precision) -> Result<()> {
        let (block, depth, name) = (self.first_block, config.depth(), self.subset.name());
        ensure!(
            block < depth,
            "the first block that {name} trains is {block}, the backbone has {depth} blocks"
        );
        ensure!(
            matches!(precision, Precision::Fp32 | Precision::Tf32),
            "{name} fine-tuning changes the backbone's weights, which are {precision}: use --precision fp32"
        );
        ensure!(self.epochs > 0 && self.batch > 0, "epochs and batch must be at least 1");
        check_rates(self.rate, self.step.decay)?;
        self.augment.check()
    }

    /// What does not depend on what is trained, with at most `micro_batch` images run together.
    pub fn recipe(&self, micro_batch: usize) -> Recipe {
        let Self { epochs, batch, rate, shape, smoothing, seed, step, .. } = *self;
        Recipe { epochs, batch, rate, shape, smoothing, seed, step: StepOptions { micro_batch, ..step } }
    }
}
