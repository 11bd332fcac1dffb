//! What fine-tuning takes beside the backbone, told beforehand.
//!
//! ```text
//! 20 bytes · numbers trained       values, two moments, gradients of a part and of a step
//! 3/2 · the most alive in a step   as for adapters
//! ```
//! Where the state stays on a device:
//! ```text
//! 24 bytes · numbers trained       values and moments on the host, and what becomes of them between two epochs
//! 44 bytes · numbers trained       both twice, since a step reads one and writes the other; gradients of a step thrice;
//!                                  decay and pace
//! 3/2 · the most alive in a step   and 8 bytes a number trained, or what is alive in an update, whichever is more
//! ```

use std::fmt;

use anyhow::{Result, ensure};

use super::options::FinetuneOptions;
use super::tuner::step_graph;
use crate::backbone::BackboneConfig;
use crate::graph::Dim;
use crate::graph::training::Loss;
use crate::graph::update::{UpdateOptions, update};

/// Bytes of every number that is trained: a float for each of its copies.
const COPIES: u64 = 5 * FLOAT;
const COPIES_OF_DEVICE: u64 = (6 + 11) * FLOAT;
/// Bytes of a float.
const FLOAT: u64 = 4;
/// Bytes of a MiB.
const MIB: u64 = 1 << 20;

/// What a step takes in, and where its state lies.
#[derive(Clone, Copy, Debug)]
pub struct At {
    /// The block whose input the images are.
    pub block: usize,
    /// What is made small.
    pub loss: Loss,
    /// Whether the state stays on the device.
    pub stays_on_device: bool,
}

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
    pub fn new(config: &BackboneConfig, options: &FinetuneOptions, classes: usize, at: At) -> Result<Self> {
        let parameters = options.subset.parameters(config, options.first_block)?;
        let count = parameters + classes * (config.feature_width() + 1);
        let copies = if at.stays_on_device { COPIES_OF_DEVICE } else { COPIES };
        let trained = copies * count as u64;
        let graph = step_graph(config, options, at.block, at.loss)?;
        let updated = || anyhow::Ok(update(count, &UpdateOptions::new(options.step.clip))?.peak_bytes(|_| 1));
        let updated = at.stays_on_device.then(updated).transpose()?;
        let at = |micro_batch: usize| {
            let peak = graph.peak_bytes(|dim| match dim {
                Dim::Batch => micro_batch as u64,
                Dim::Classes => classes as u64,
                _ => 1,
            });
            // The vector is cut, and its gradients are joined.
            let step = updated.map_or(peak, |updated| updated.max(peak + 2 * FLOAT * count as u64));
            Self { micro_batch, trained, step: step * 3 / 2 }
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

#[cfg(test)]
mod tests {
    use super::super::subset::Subset;
    use super::*;

    const TINY: &str = include_str!("../../../../fuzz/backbone.json");

    #[test]
    fn a_device_takes_more_and_a_bound_lowers_how_many_run_together() {
        let config: BackboneConfig = serde_json::from_str(TINY).unwrap();
        let mut options = FinetuneOptions::of(Subset::Full).unwrap();
        let at = |stays_on_device| At { block: 0, loss: Loss::CrossEntropy, stays_on_device };
        let fit = |options: &FinetuneOptions, own| Fit::new(&config, options, 3, at(own));
        let [host, device] = [false, true].map(|own| fit(&options, own).unwrap());
        assert!(device.bytes() > host.bytes(), "{device} {host}");
        for (own, most) in [(false, host), (true, device)] {
            options.memory = Some(most.bytes() - 1);
            let fewer = fit(&options, own).unwrap();
            assert!(fewer.micro_batch < most.micro_batch && fewer.bytes() < most.bytes(), "{fewer}");
        }
        options.memory = Some(host.trained);
        let error = fit(&options, true).unwrap_err().to_string();
        assert!(error.contains("is not enough for full fine-tuning: about "), "{error}");
    }
}
