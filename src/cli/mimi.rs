//! How adapters are trained, as typed after `train-task` and `compare`.

use anyhow::Result;
use clap::{Args, ValueEnum};
use mimi_server::pack::{Bits, StoredBits};
use mimi_server::train::{Adaptation, AugmentOptions, MimiOptions, StepOptions, Target, Widths};

use super::pruning::PruningArgs;
use super::recipe::{RecipeArgs, bits};

/// Options of `--method mimi` and `--method adapters`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Adapters")]
pub struct MimiArgs {
    /// First rate σ₀: width of a block over width of its adapters.
    #[arg(long, default_value_t = 8.0, value_name = "RATE")]
    pub sigma_0: f64,
    /// How first widths are chosen.
    #[arg(long, default_value = "proportional")]
    pub widths: WidthsArg,
    /// Prune until the mean rate is at least this.
    #[arg(long, default_value_t = 64.0, value_name = "RATE")]
    pub sigma: f64,
    /// Prune until the adapters have at most this many parameters. Replaces --sigma.
    #[arg(long, value_name = "COUNT", conflicts_with = "accuracy")]
    pub parameters: Option<usize>,
    /// Prune while the held-out accuracy stays at least this, 0 to 1. Replaces --sigma.
    #[arg(long, value_name = "SHARE")]
    pub accuracy: Option<f64>,
    /// Share ρ of the neurons that each pruning removes, 0 to 1.
    #[arg(long, default_value_t = 0.5)]
    pub rho: f64,
    #[command(flatten)]
    pub pruning: PruningArgs,
    /// First block with adapters. The blocks before run once per image.
    #[arg(long, default_value_t = 0, value_name = "BLOCK")]
    pub first_block: usize,
    /// Share of each target spread evenly over the classes, 0 to 1 [default: 0.1 for adapters, and mimi
    /// that prunes them, else 0].
    #[arg(long)]
    pub smoothing: Option<f64>,
    /// Largest global norm of the gradients [default: 5 for adapters, and mimi that prunes them, else no bound].
    #[arg(long)]
    pub clip: Option<f64>,
    /// Share of the images for which the last block's branches are dropped in a step; earlier blocks' in proportion
    /// [default: 0 for adapters and ssf, else 0.1].
    #[arg(long, value_name = "SHARE")]
    pub drop_path: Option<f64>,
    /// Hidden neurons of each module, for methods without --sigma-0 [default: that of the
    /// method's recipe, see docs/methods.md].
    #[arg(long, value_name = "COUNT")]
    pub rank: Option<usize>,
    /// A setting that only the method has, such as n=4; may be given several times. See docs/methods.md.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub settings: Vec<String>,
    /// Keep the adapters' weights at 1, 2, 4 or 8 bits. Training rounds to them at every step [default: 32-bit floats].
    #[arg(long, value_name = "BITS", value_parser = bits)]
    pub bits: Option<Bits>,
    /// What mimi prunes: adapters, or another method with neurons.
    #[arg(long, default_value = "adapters", value_name = "METHOD", value_parser = adaptation)]
    pub prunes: Adaptation,
    /// Images that run together. Fewer take less memory; the result is the same.
    #[arg(long, default_value_t = 8)]
    pub micro_batch: usize,
}

/// How wide adapters are at first.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum WidthsArg {
    /// Wider in wider blocks.
    Proportional,
    /// All the same.
    Uniform,
}

fn adaptation(text: &str) -> Result<Adaptation, String> {
    let names = || Adaptation::all().map(|known| known.name()).collect::<Vec<_>>().join(", ");
    Adaptation::named(text).ok_or_else(|| format!("expected one of {}", names()))
}

impl MimiArgs {
    /// How MiMi trains, on images as they are.
    ///
    /// # Errors
    /// When a recipe cannot be read.
    pub fn options(&self, recipe: &RecipeArgs, seed: u64) -> Result<MimiOptions> {
        Ok(MimiOptions { target: self.target(), ..self.once(self.prunes, recipe, seed)? })
    }

    /// How an adaptation is trained, once and on images as they are.
    ///
    /// # Errors
    /// When a recipe cannot be read.
    pub fn once(&self, adaptation: Adaptation, recipe: &RecipeArgs, seed: u64) -> Result<MimiOptions> {
        let mut default = MimiOptions::of(adaptation)?;
        for typed in &self.settings {
            adaptation.set(&mut default.settings, typed)?;
        }
        let score = self.pruning.score();
        Ok(MimiOptions {
            rank: self.rank.unwrap_or(default.rank),
            sigma: self.sigma_0,
            widths: match self.widths {
                WidthsArg::Proportional => Widths::Proportional,
                WidthsArg::Uniform => Widths::Uniform,
            },
            rho: self.rho,
            score,
            selection: self.pruning.selection(),
            front: self.pruning.front(),
            price: self.pruning.price(),
            init: self.pruning.init(score),
            first_block: self.first_block,
            epochs: recipe.epochs.unwrap_or(default.epochs),
            batch: recipe.batch.unwrap_or(default.batch),
            rate: recipe.learning_rate.unwrap_or(default.rate),
            step: StepOptions {
                decay: recipe.weight_decay.unwrap_or(default.step.decay),
                clip: self.clip.unwrap_or(default.step.clip),
                drop_path: self.drop_path.unwrap_or(default.step.drop_path),
                micro_batch: self.micro_batch,
            },
            smoothing: self.smoothing.unwrap_or(default.smoothing),
            augment: AugmentOptions::none(),
            bits: StoredBits { adapters: self.bits, head: recipe.head_bits },
            seed,
            ..default
        })
    }

    /// When pruning ends.
    pub fn target(&self) -> Target {
        match (self.parameters, self.accuracy) {
            (Some(parameters), _) => Target::Parameters(parameters),
            (None, Some(accuracy)) => Target::Accuracy(accuracy),
            (None, None) => Target::Sigma(self.sigma),
        }
    }
}
