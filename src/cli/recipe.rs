//! What all ways to train have in common.

use clap::Args;
use mimi_server::pack::Bits;
use mimi_server::train::LinearOptions;

/// What linear heads and adapters have in common.
#[derive(Clone, Copy, Debug, Args)]
pub struct RecipeArgs {
    /// Passes over the training images; with mimi, in each training between two prunings [default: 100; 10 for
    /// adapters, and mimi that prunes them].
    #[arg(long)]
    pub epochs: Option<usize>,
    /// Images in one step [default: 64; 32 for adapters, and mimi that prunes them].
    #[arg(long)]
    pub batch: Option<usize>,
    /// Highest learning rate [default: 5e-3 for heads alone, else that of the method's recipe, see docs/methods.md].
    #[arg(long)]
    pub learning_rate: Option<f64>,
    /// Weight decay of matrices; biases have none [default: 0.05 for heads alone, else that of the method's recipe].
    #[arg(long)]
    pub weight_decay: Option<f64>,
    /// Keep the head's weights at 8 bits, with a scale for each class [default: 32-bit floats].
    #[arg(long, value_name = "BITS", value_parser = bits)]
    pub head_bits: Option<Bits>,
}

/// Bits a weight.
pub(super) fn bits(text: &str) -> Result<Bits, String> {
    text.parse::<u8>().map_err(|error| format!("{text:?}: {error}"))?.try_into()
}

impl RecipeArgs {
    /// How a head alone is trained.
    pub fn linear(&self, seed: u64) -> LinearOptions {
        let default = LinearOptions::default();
        LinearOptions {
            epochs: self.epochs.unwrap_or(default.epochs),
            batch: self.batch.unwrap_or(default.batch),
            rate: self.learning_rate.unwrap_or(default.rate),
            decay: self.weight_decay.unwrap_or(default.decay),
            head_bits: self.head_bits,
            seed,
        }
    }
}
