//! What fine-tuning takes beside the backbone, told beforehand.
//!
//! ```text
//! 20 bytes · numbers trained       values, two moments, gradients of a part and of a step
//! 3/2 · the most alive in a step   as for adapters
//! ```

use std::fmt;

use anyhow::{Result, ensure};

use super::options::FinetuneOptions;
use super::tuner::step_graph;
use crate::backbone::BackboneConfig;
use crate::graph::Dim;
use crate::graph::training::Loss;

/// Bytes of every number that is trained: a float for each of its five copies.
const COPIES: u64 = 5 * 4;
/// Bytes of a MiB.
const MIB: u64 = 1 << 20;

/// How a fine-tuning fits into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fit {
    /// Images run together.
    pub micro_batch: usize,
    /// Of what is trained.
    trained: u64,
    /// Of what is alive in a step.
    step: u64,
}

impl Fit {
    /// Fits a step from `block` on into the bound, where there is one.
    ///
    /// # Errors
    /// When one image at a time does not fit, with the memory it needs.
    pub fn new(
        config: &BackboneConfig,
        options: &FinetuneOptions,
        classes: usize,
        (block, loss): (usize, Loss),
    ) -> Result<Self> {
        let parameters = options.subset.parameters(config, options.first_block)?;
        let trained = COPIES * (parameters + classes * (config.feature_width() + 1)) as u64;
        let graph = step_graph(config, options, block, loss)?;
        let at = |micro_batch: usize| {
            let peak = graph.peak_bytes(|dim| match dim {
                Dim::Batch => micro_batch as u64,
                Dim::Classes => classes as u64,
                _ => 1,
            });
            Self { micro_batch, trained, step: peak * 3 / 2 }
        };
        let most = options.step.micro_batch.min(options.batch).max(1);
        let Some(bound) = options.memory else { return Ok(at(most)) };
        let fits = (1..=most).rev().map(at).find(|fit| fit.bytes() <= bound);
        let one = at(1);
        let fit = fits.unwrap_or(one);
        ensure!(
            fit.bytes() <= bound,
            "{} MiB of memory is not enough for {} fine-tuning: {one}",
            bound / MIB,
            options.subset.name()
        );
        Ok(fit)
    }

    /// Bytes in all.
    pub fn bytes(&self) -> u64 {
        self.trained + self.step
    }
}

impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes.div_ceil(MIB);
        let Self { micro_batch, trained, step } = *self;
        write!(
            f,
            "about {} MiB ({} of weights, gradients and moments, {} of a step), {micro_batch} image(s) run together",
            mib(self.bytes()),
            mib(trained),
            mib(step)
        )
    }
}
