//! Steps of fine-tuning whose state stays on the device.

use anyhow::Result;

use super::options::FinetuneOptions;
use super::tuned::Tuned;
use super::tuner::{StepInput, step_graph};
use crate::graph::update::UpdateOptions;
use crate::runtime::Resident;
use crate::train::optim::adamw::AdamWOptions;
use crate::train::optim::flat_step::{FlatLearning, FlatStepper};
use crate::train::optim::step::StepOptions;

/// Trains weights of the backbone on the device.
pub struct DeviceTuner {
    tuned: Tuned,
    stepper: FlatStepper,
    options: StepOptions,
}

impl DeviceTuner {
    /// Compiles a step on inputs of a block.
    ///
    /// # Errors
    /// When a program cannot be compiled or the device cannot be reached.
    pub fn new(resident: &Resident, tuned: Tuned, options: &FinetuneOptions, at: StepInput) -> Result<Self> {
        let graph = step_graph(resident.config(), options, at.block, at.loss)?;
        let update = update(&options.step);
        let stepper = FlatStepper::new(resident, &graph, tuned.layout(), (at.parts(&options.step), update))?;
        Ok(Self { tuned, stepper, options: options.step })
    }

    /// Copies the state to the device.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn learn(&mut self) -> Result<FlatLearning<'_>> {
        let classes = self.tuned.head.classes()?;
        self.stepper.learn(self.tuned.trainees(self.options.decay), (classes, None))
    }

    /// What was trained.
    pub fn into_tuned(mut self) -> Tuned {
        self.tuned.expand();
        self.tuned
    }
}

/// What a step does once it has gradients.
pub(super) fn update(options: &StepOptions) -> UpdateOptions {
    let (adamw, clip) = (AdamWOptions::default(), options.clip);
    UpdateOptions { adamw, clip, is_masked: false, sums: false, left: None }
}
