//! Options of a training of adapters.

use anyhow::{Result, ensure};
use serde::Serialize;

use super::init::Init;
use super::prune::Selection;
use super::score::Score;
use crate::backbone::BackboneConfig;
use crate::train::data::augment::options::AugmentOptions;
use crate::train::optim::recipe::{Recipe, check_rates};
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
    /// Settings of a step.
    pub step: StepOptions,
    /// Share of each target spread evenly over the classes.
    pub smoothing: f64,
    /// What is done to training images.
    pub augment: AugmentOptions,
    /// Seed of first values and orders.
    pub seed: u64,
}

impl Default for MimiOptions {
    /// ρ = 0.5, decay 0.05, clipping at 5, smoothing 0.1: docs/method.md sections 2 and 5. σ₀ = 8 is the least wide the
    /// paper's figures begin with. For small data on a CPU: 10 epochs instead of 100 and the rate 1e-3 of Adapter+
    /// (docs/method.md section 8), batches of 32, images as they are.
    fn default() -> Self {
        Self {
            sigma: 8.0,
            widths: Widths::default(),
            target: Target::Sigma(64.0),
            rho: 0.5,
            score: Score::default(),
            selection: Selection::default(),
            init: Init::default(),
            first_block: 0,
            epochs: 10,
            batch: 32,
            rate: 1e-3,
            step: StepOptions { decay: 0.05, clip: 5.0, micro_batch: 8 },
            smoothing: 0.1,
            augment: AugmentOptions::none(),
            seed: 0,
        }
    }
}

impl MimiOptions {
    /// Checks that the numbers make sense on this backbone.
    ///
    /// # Errors
    /// When one does not, with its name.
    pub fn check(&self, config: &BackboneConfig) -> Result<()> {
        let depth = config.depth();
        let block = self.first_block;
        ensure!(block < depth, "the first block with adapters is {block}, the backbone has {depth} blocks");
        ensure!(
            self.sigma > 0.0 && self.sigma.is_finite(),
            "sigma_0 is {}, expected more than 0",
            self.sigma
        );
        ensure!(self.rho > 0.0 && self.rho < 1.0, "rho is {}, expected a share between 0 and 1", self.rho);
        ensure!(self.epochs > 0 && self.batch > 0, "epochs and batch must be at least 1");
        check_rates(self.rate, self.step.decay)?;
        match self.target {
            Target::Sigma(sigma) => {
                ensure!(sigma > 0.0 && sigma.is_finite(), "sigma is {sigma}, expected more than 0")
            }
            Target::Accuracy(least) => {
                ensure!(least >= 0.0, "the accuracy to keep is {least}, expected 0 or more")
            }
            Target::Parameters(_) | Target::Never => {}
        }
        let smoothing = self.smoothing;
        ensure!((0.0..=1.0).contains(&smoothing), "smoothing is {smoothing}, expected 0 to 1");
        self.augment.check()
    }

    /// What does not depend on adapters, with at most `micro_batch` images run together.
    pub fn recipe(&self, micro_batch: usize) -> Recipe {
        let Self { epochs, batch, rate, smoothing, seed, step, .. } = *self;
        Recipe { epochs, batch, rate, smoothing, seed, step: StepOptions { micro_batch, ..step } }
    }
}
