//! One step: forward, backward, clip, update.

use std::ops::Range;

use anyhow::{Result, ensure};

use super::clip::clip;
use super::model::Model;
use super::predict::likeliest;
use super::prefix::input_name;
use super::resident::Resident;
use super::source::Batch;
use crate::backbone::BlockRange;
use crate::graph::Plan;
use crate::graph::training::{TARGETS, training_graph};
use crate::runtime::{Input, Program};

/// Settings of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepOptions {
    /// Weight decay of matrices.
    pub decay: f64,
    /// Largest global norm of the gradients.
    pub clip: f64,
    /// Images run together; a larger batch is run in parts and their gradients added.
    pub micro_batch: usize,
}

/// What a step saw before it changed the model.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seen {
    /// Mean loss, smoothing included.
    pub loss: f64,
    /// Images whose likeliest class was theirs.
    pub right: usize,
}

/// Gradients in the order of [`Model::named`].
pub type Gradients = Vec<Vec<f32>>;

/// Runs steps of one plan.
pub struct Stepper {
    plan: Plan,
    program: Program,
    options: StepOptions,
}

impl Stepper {
    /// Compiles the step for adapters at the model's sites, fed with what stands before `block`.
    ///
    /// # Errors
    /// When the program cannot be compiled.
    pub fn new(resident: &Resident, block: usize, model: &Model, options: StepOptions) -> Result<Self> {
        let blocks = BlockRange { start: block, end: resident.config.depth() };
        let plan = Plan { blocks, sites: model.sites() };
        let program = resident.compile(&training_graph(&resident.config, &plan)?)?;
        Ok(Self { plan, program, options })
    }

    /// One step. The gradients, already clipped, are returned for whoever scores by them.
    ///
    /// # Errors
    /// When a run fails or the loss is no longer finite.
    pub fn step(&mut self, model: &mut Model, batch: &Batch, rate: f64) -> Result<(Seen, Gradients)> {
        let (seen, mut gradients) = self.gradients(model, batch)?;
        ensure!(seen.loss.is_finite(), "the loss is {}: the learning rate is too high", seen.loss);
        clip(&mut gradients, self.options.clip);
        for (parameter, gradient) in model.parameters_mut().into_iter().zip(&gradients) {
            let decay = if parameter.decays { self.options.decay } else { 0.0 };
            parameter.state.step(&mut parameter.values, gradient, rate, decay);
        }
        Ok((seen, gradients))
    }

    /// Mean loss over a batch and its gradients.
    ///
    /// # Errors
    /// When a run fails.
    pub fn gradients(&mut self, model: &Model, batch: &Batch) -> Result<(Seen, Gradients)> {
        let mut seen = Seen::default();
        let mut sums: Gradients = model.named().iter().map(|(_, p)| vec![0.0; p.values.len()]).collect();
        let (count, classes) = (batch.classes.len(), model.head_bias.values.len());
        let size = self.options.micro_batch.max(1);
        for start in (0..count).step_by(size) {
            let part = start..(start + size).min(count);
            let mut outputs = self.run(model, batch, part.clone())?.into_iter();
            let (loss, logits) = (outputs.next().unwrap_or_default(), outputs.next().unwrap_or_default());
            seen.loss += loss.first().copied().map_or(f64::NAN, f64::from);
            let rows = logits.chunks(classes).zip(&batch.classes[part]);
            seen.right += rows.filter(|(row, class)| likeliest(row) == Some(**class)).count();
            for (sum, gradient) in sums.iter_mut().zip(outputs) {
                sum.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g);
            }
        }
        Ok((seen, sums))
    }

    /// Loss, logits and gradients of some rows of a batch.
    fn run(&mut self, model: &Model, batch: &Batch, part: Range<usize>) -> Result<Vec<Vec<f32>>> {
        let (count, classes) = (batch.classes.len(), model.head_bias.values.len());
        let size = batch.values.len() / count;
        let targets: Vec<f32> = batch.targets[part.start * classes..part.end * classes]
            .iter()
            .map(|t| t / count as f32)
            .collect();
        let (shape, wanted) = ([&[part.len()], &batch.shape[1..]].concat(), [part.len(), classes]);
        let values = &batch.values[part.start * size..part.end * size];
        let parameters = model.named();
        let mut inputs = vec![
            Input { name: input_name(self.plan.blocks.start), shape: &shape, data: values },
            Input { name: TARGETS, shape: &wanted, data: &targets },
        ];
        for (name, parameter) in &parameters {
            inputs.push(Input { name, shape: &parameter.shape, data: &parameter.values });
        }
        Ok(self.program.run(&inputs)?.into_iter().map(|output| output.data).collect())
    }
}
