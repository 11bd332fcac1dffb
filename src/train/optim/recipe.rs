//! Settings shared by all methods that train through a graph.

use anyhow::{Result, ensure};

use super::schedule::Shape;
use super::step::StepOptions;
use crate::pack::Bits;
use crate::train::data::chance::Chance;
use crate::train::history::Place;

/// Settings that do not depend on what is trained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// Epochs of each training.
    pub epochs: usize,
    /// Images in one step.
    pub batch: usize,
    /// Highest learning rate.
    pub rate: f64,
    /// How the rate goes up and down.
    pub shape: Shape,
    /// Share of each target spread evenly over the classes.
    pub smoothing: f64,
    /// Seed of the order of images.
    pub seed: u64,
    /// Settings of a step.
    pub step: StepOptions,
}

impl Recipe {
    /// Chance of the epoch at `place`, the same whether or not the training was interrupted before it.
    pub fn chance(&self, place: Place) -> Chance {
        Chance { seed: self.seed, epoch: (place.cycle * self.epochs + place.epoch) as u64 }
    }
}

/// Checks a learning rate and a weight decay.
///
/// # Errors
/// With the one that is not a finite number of 0 or more.
pub fn check_rates(rate: f64, decay: f64) -> Result<()> {
    ensure!(rate >= 0.0 && rate.is_finite(), "the learning rate is {rate}, expected 0 or more");
    ensure!(decay >= 0.0 && decay.is_finite(), "the weight decay is {decay}, expected 0 or more");
    Ok(())
}

/// Checks the bits of a head's weights.
///
/// # Errors
/// When a pack cannot keep it so.
pub fn check_head_bits(bits: Option<Bits>) -> Result<()> {
    let other = bits.filter(|bits| *bits != Bits::Eight);
    ensure!(
        other.is_none(),
        "a head is kept whole or at 8 bits a weight, not {}",
        other.map_or(0, Bits::count)
    );
    Ok(())
}
