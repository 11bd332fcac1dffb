//! What learns, whatever it is.

use anyhow::Result;
use rand_chacha::ChaCha8Rng;

use super::step::Stepped;
use crate::train::data::minibatch::Minibatch;

/// What makes steps on minibatches.
pub trait Learner {
    /// Classes, or outputs.
    ///
    /// # Errors
    /// When there is no head.
    fn classes(&self) -> Result<usize>;

    /// Makes one step at a learning rate.
    ///
    /// # Errors
    /// When a run fails or the loss is no longer finite.
    fn step(&mut self, batch: &Minibatch, at: (f64, &mut ChaCha8Rng)) -> Result<Stepped>;
}
