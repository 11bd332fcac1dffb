//! A model's steps whose state stays on the device.

use anyhow::Result;
use rand_chacha::ChaCha8Rng;

use super::around::Around;
use super::flat_step::{FlatLearning, FlatOptions, FlatStepper, Trainee};
use super::gradients::Gradients;
use super::learner::Learner;
use super::step::{StepOptions, Stepped, step_graph};
use crate::graph::Trained;
use crate::graph::flat::{Layout, Made, Piece};
use crate::pack::StoredBits;
use crate::runtime::Resident;
use crate::train::data::minibatch::Minibatch;
use crate::train::model::Model;

/// Compiled steps of one plan.
pub struct DeviceStepper {
    flat: FlatStepper,
    options: StepOptions,
    around: Around,
}

/// A model whose state is on the device while it learns.
pub struct DeviceLearning<'a>(FlatLearning<'a>);

impl DeviceStepper {
    /// Compiles the steps of a model's modules on inputs of `block`.
    ///
    /// # Errors
    /// When a program cannot be compiled or the device cannot be reached.
    pub fn new(
        resident: &Resident,
        (block, model): (usize, &Model),
        trained: Trained<'_>,
        options: StepOptions,
        around: Around,
    ) -> Result<Self> {
        let graph = step_graph(resident, block, model, trained)?;
        let flat = FlatOptions {
            parts: options.parts(block, trained.loss),
            clip: options.clip,
            is_masked: !around.masks.is_empty(),
            sums: true,
            proximal: around.proximal.clone(),
        };
        let flat = FlatStepper::new(resident, &graph, layout(model, around.bits), flat)?;
        Ok(Self { flat, options, around })
    }

    /// Whether a model has the parameters that this was compiled for, and the method does the same around its steps.
    pub fn fits(&self, model: &Model, around: &Around) -> bool {
        self.around == *around && layout(model, around.bits) == *self.flat.layout()
    }

    /// Copies a model's state to the device.
    ///
    /// # Errors
    /// When the device has no room, or the parameters have not made equally many steps.
    pub fn learn<'a>(&'a mut self, model: &'a mut Model) -> Result<DeviceLearning<'a>> {
        let (options, around, classes) = (self.options, &self.around, model.classes()?);
        let trainees = model.parameters.iter_mut().map(|(name, own)| Trainee {
            name: name.to_string(),
            decay: options.decay_of(name, own),
            pace: name.pace(),
            mask: around.masks.of(name),
            own,
        });
        Ok(DeviceLearning(self.flat.learn(trainees.collect(), classes)?))
    }
}

fn layout(model: &Model, bits: StoredBits) -> Layout {
    Layout::new(model.parameters.iter().map(|(name, own)| {
        let rounding = bits.of_matrix(name).filter(|_| own.shape.len() == 2);
        let made = rounding.map_or(Made::Whole, |bits| Made::Rounded(bits.rounding(name.is_of_head())));
        Piece { name: name.to_string(), shape: own.shape.clone(), made }
    }))
}

impl DeviceLearning<'_> {
    /// Brings the state back to the model, and returns the sum of all clipped gradients.
    ///
    /// # Errors
    /// When a copy fails.
    pub fn finish(self) -> Result<Gradients> {
        self.0
            .finish()?
            .into_iter()
            .map(|(name, sum)| Ok((name.parse().map_err(anyhow::Error::msg)?, sum)))
            .collect()
    }
}

impl Learner for DeviceLearning<'_> {
    fn classes(&self) -> Result<usize> {
        self.0.classes()
    }

    fn step(&mut self, batch: &Minibatch, at: (f64, &mut ChaCha8Rng)) -> Result<Stepped> {
        self.0.step(batch, at)
    }
}
