//! Steps of fine-tuning whose state stays on the device.

use anyhow::Result;

use super::options::FinetuneOptions;
use super::tuned::Tuned;
use super::tuner::{StepInput, step_graph};
use crate::runtime::Resident;
use crate::train::optim::flat_step::{FlatLearning, FlatOptions, FlatStepper};

/// Trains weights of the backbone on the device.
pub struct DeviceTuner {
    tuned: Tuned,
    stepper: FlatStepper,
    decay: f64,
}

impl DeviceTuner {
    /// Compiles a step on inputs of a block.
    ///
    /// # Errors
    /// When a program cannot be compiled or the device cannot be reached.
    pub fn new(resident: &Resident, tuned: Tuned, options: &FinetuneOptions, at: StepInput) -> Result<Self> {
        let graph = step_graph(resident.config(), options, at.block, at.loss)?;
        let flat = FlatOptions {
            parts: at.parts(&options.step),
            clip: options.step.clip,
            is_masked: false,
            sums: false,
            proximal: None,
        };
        let stepper = FlatStepper::new(resident, &graph, tuned.layout(), flat)?;
        Ok(Self { tuned, stepper, decay: options.step.decay })
    }

    /// Copies the state to the device.
    ///
    /// # Errors
    /// When the device has no room.
    pub fn learn(&mut self) -> Result<FlatLearning<'_>> {
        let classes = self.tuned.head.classes()?;
        self.stepper.learn(self.tuned.trainees(self.decay), classes)
    }

    /// What was trained.
    pub fn into_tuned(mut self) -> Tuned {
        self.tuned.expand();
        self.tuned
    }
}
