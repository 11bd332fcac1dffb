//! Options of a training of adapters.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;

use super::prune::Selection;
use super::score::Score;
use crate::adaptation::{Chosen, Init, Kind, Settings};
use crate::backbone::{BackboneConfig, BlockRange, Module, ModuleSet};
use crate::pack::StoredBits;
use crate::train::data::augment::options::AugmentOptions;
use crate::train::method::recipe_file::RecipeFile;
use crate::train::optim::recipe::Recipe;
use crate::train::optim::schedule::Shape;
use crate::train::optim::step::StepOptions;

/// When pruning ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// At once: adapters as they are, trained once.
    Never,
    /// When the mean rate `Σ M / Σ N` is at least this.
    Sigma(f64),
    /// When the adapters have at most this many parameters.
    Parameters(usize),
    /// Before the accuracy on held-out images falls below this, 0 to 1: the smallest adapters that hold it.
    Accuracy(f64),
}

/// How wide adapters are at first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Widths {
    /// Each `M / σ₀`: wider in wider blocks. MiMi.
    #[default]
    Proportional,
    /// All the same, with the same mean rate.
    Uniform,
}

/// How adapters are trained.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MimiOptions {
    /// What is trained beside the backbone.
    pub adaptation: Chosen,
    /// Its settings beyond these.
    pub settings: Settings,
    /// Width of each module that does not follow the rate.
    pub rank: usize,
    /// Rate of the first adapters, `M / N` (σ₀).
    pub sigma: f64,
    /// How wide each adapter is at first.
    pub widths: Widths,
    /// When pruning ends.
    pub target: Target,
    /// Share of the neurons a pruning removes (ρ).
    pub rho: f64,
    /// What neurons are kept by.
    pub score: Score,
    /// Among which neurons the weakest are sought.
    pub selection: Selection,
    /// Share of the score that may lie in early blocks which each pruning removes whole (τ); none looks at neurons alone.
    /// Left out of an identity where it is none, so that older records can be continued.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub front: Option<f64>,
    /// How steeply the prices of gates rise towards early blocks; none has no gates but prunings. Left out of an identity as
    /// the one before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price: Option<f64>,
    /// How adapters begin.
    pub init: Init,
    /// First block with adapters; what comes before is computed once an image.
    pub first_block: usize,
    /// Epochs of each training.
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
    /// Bits a weight that the pack keeps; training rounds to them, straight through. Left out of an identity where all are
    /// whole, so that older records can be continued.
    #[serde(skip_serializing_if = "StoredBits::is_full")]
    pub bits: StoredBits,
    /// Seed of first values and orders.
    pub seed: u64,
}

impl Default for MimiOptions {
    /// ρ = 0.5, decay 0.05, clipping at 5, smoothing 0.1: docs/method.md sections 2 and 5. σ₀ = 8 is the least wide the
    /// paper's figures begin with. For small data on a CPU: 10 epochs instead of 100 and the rate 1e-3 of Adapter+
    /// (docs/method.md section 8), batches of 32, images as they are.
    fn default() -> Self {
        Self {
            adaptation: Chosen::default(),
            settings: Settings::default(),
            rank: 8,
            sigma: 8.0,
            widths: Widths::default(),
            target: Target::Sigma(64.0),
            rho: 0.5,
            score: Score::default(),
            selection: Selection::default(),
            front: None,
            price: None,
            init: Init::default(),
            first_block: 0,
            epochs: 10,
            batch: 32,
            rate: 1e-3,
            shape: Shape::default(),
            step: StepOptions { decay: 0.05, clip: 5.0, drop_path: 0.0, micro_batch: 8 },
            smoothing: 0.1,
            augment: AugmentOptions::none(),
            bits: StoredBits::default(),
            seed: 0,
        }
    }
}

impl MimiOptions {
    /// The settings of `recipes/<name>.json` for an adaptation, trained once as it is.
    ///
    /// # Errors
    /// When the recipe cannot be read.
    pub fn of(adaptation: Chosen) -> Result<Self> {
        let recipe = RecipeFile::read(adaptation.name(), adaptation.recipe())?;
        let default = Self::default();
        Ok(Self {
            adaptation,
            settings: adaptation.settings()?,
            rank: recipe.rank.unwrap_or(default.rank),
            target: Target::Never,
            epochs: recipe.epochs,
            batch: recipe.batch,
            rate: recipe.learning_rate,
            shape: recipe.shape(),
            step: recipe.step(default.step.micro_batch),
            smoothing: recipe.smoothing,
            ..default
        })
    }

    /// The modules that are trained, from the first block on.
    pub fn modules(&self, config: &BackboneConfig) -> ModuleSet {
        let blocks = BlockRange { start: self.first_block, end: config.depth() };
        self.adaptation.modules(config, &self.settings).within(blocks)
    }

    /// How steeply the prices of gates rise, where gates are how the target is reached.
    pub fn gates(&self) -> Option<f64> {
        self.price.filter(|_| self.target != Target::Never)
    }

    /// Width of each module that has one at first, at least 1.
    pub fn first_widths(&self, config: &BackboneConfig) -> BTreeMap<Module, usize> {
        let modules: Vec<Module> =
            self.modules(config).iter().filter(|module| module.form.has_width()).collect();
        if !self.adaptation.follows_sigma() {
            return modules.into_iter().map(|module| (module, self.rank)).collect();
        }
        let width = |module: &Module| config.block_width(module.site.block) as f64;
        let mean = modules.iter().map(width).sum::<f64>() / modules.len() as f64;
        let of = |module| match self.widths {
            Widths::Proportional => width(module),
            Widths::Uniform => mean,
        };
        modules.iter().map(|module| (*module, ((of(module) / self.sigma) as usize).max(1))).collect()
    }

    /// The method with its settings, as it begins.
    pub fn kind(&self, config: &BackboneConfig) -> Kind {
        let first = self.first_widths(config);
        let width = |module: Module| (module, first.get(&module).copied().unwrap_or(0));
        let widths = self.modules(config).iter().map(width).collect();
        Kind { adaptation: self.adaptation, settings: self.settings.clone(), widths }
    }

    /// Elements of what is trained at first, without the head.
    pub fn module_parameters(&self, config: &BackboneConfig) -> usize {
        let shapes = self.kind(config).on(config).trained();
        shapes.values().map(|shape| shape.iter().product::<usize>()).sum()
    }

    /// What does not depend on adapters, with at most `micro_batch` images run together.
    pub fn recipe(&self, micro_batch: usize) -> Recipe {
        let Self { epochs, batch, rate, shape, smoothing, seed, step, .. } = *self;
        Recipe { epochs, batch, rate, shape, smoothing, seed, step: StepOptions { micro_batch, ..step } }
    }
}
