//! What all ways to train have in common.

use clap::Args;
use mimi_server::train::LinearOptions;

/// What linear heads and adapters have in common.
#[derive(Debug, Args)]
pub struct RecipeArgs {
    /// Passes over the training images; with mimi, in each training between two prunings [default: 100 for
    /// linear, else 10].
    #[arg(long)]
    pub epochs: Option<usize>,
    /// Images in one step [default: 64 for linear, else 32].
    #[arg(long)]
    pub batch: Option<usize>,
    /// Highest learning rate [default: 5e-3 for linear, else 1e-3].
    #[arg(long)]
    pub learning_rate: Option<f64>,
    /// Weight decay of matrices; biases have none.
    #[arg(long, default_value_t = 0.05)]
    pub weight_decay: f64,
}

impl RecipeArgs {
    /// How a head alone is trained.
    pub fn linear(&self, seed: u64) -> LinearOptions {
        let default = LinearOptions::default();
        LinearOptions {
            epochs: self.epochs.unwrap_or(default.epochs),
            batch: self.batch.unwrap_or(default.batch),
            rate: self.learning_rate.unwrap_or(default.rate),
            decay: self.weight_decay,
            seed,
        }
    }
}
