//! Steps of a plan, wherever the state of a training lies.

use anyhow::Result;
use rand_chacha::ChaCha8Rng;

use super::around::Around;
use super::device_step::DeviceStepper;
use super::learner::Learner;
use super::step::{Stepped, Stepper};
use crate::train::data::minibatch::Minibatch;
use crate::train::model::Model;

/// Compiled steps.
pub enum Steps {
    /// The state is the host's; every step copies it to the device, and gradients back.
    Host(Box<Stepper>),
    /// The state stays on the device for an epoch.
    Device(Box<DeviceStepper>),
}

impl Steps {
    /// Whether they are those of a model with the same modules, to which the same is done around them: on the device also with
    /// the same widths.
    pub fn fit(&self, model: &Model, around: &Around) -> bool {
        match self {
            Self::Host(stepper) => stepper.fits(around),
            Self::Device(stepper) => stepper.fits(model, around),
        }
    }
}

/// A model that learns by the host's steps.
pub struct Learning<'a> {
    /// Makes steps.
    pub stepper: &'a mut Stepper,
    /// The model.
    pub model: &'a mut Model,
}

impl Learner for Learning<'_> {
    fn classes(&self) -> Result<usize> {
        Ok(self.model.classes()?)
    }

    fn step(&mut self, batch: &Minibatch, at: (f64, &mut ChaCha8Rng)) -> Result<Stepped> {
        self.stepper.step(self.model, batch, at)
    }
}
