//! One step: forward, backward, clip, update.

use std::ops::Range;

use anyhow::{Result, ensure};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::clip::clip;
use super::gradients::Gradients;
use super::mask::Masks;
use super::paths::{Path, paths};
use crate::backbone::BlockRange;
use crate::graph::training::{LOGITS, LOSS, Loss, TARGETS, WEIGHTS, gradient_output, training_graph};
use crate::graph::{ParameterName, Plan, Trained};
use crate::runtime::{Input, Outputs, Program, Resident};
use crate::train::data::minibatch::Minibatch;
use crate::train::data::rows::input_name;
use crate::train::measure::predict::likeliest;
use crate::train::model::Model;

/// Settings of a step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StepOptions {
    /// Weight decay of matrices.
    pub decay: f64,
    /// Largest global norm of the gradients.
    pub clip: f64,
    /// Share of the rows for which the last block's branches are dropped; earlier blocks' in proportion.
    pub drop_path: f64,
    /// Most images that are run together. A larger batch is run in parts whose gradients are added.
    pub micro_batch: usize,
}

/// What a step saw before it changed the model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// Mean loss, smoothing included.
    pub loss: f64,
    /// Images whose likeliest class was theirs.
    pub right: usize,
    /// Every image's outputs, row-major, where they are no classes.
    pub outputs: Vec<f32>,
}

/// What a minibatch gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stepped {
    /// Loss and right answers.
    pub seen: Seen,
    /// Gradients of the mean loss.
    pub gradients: Gradients,
}

/// Runs steps of one plan.
pub struct Stepper {
    plan: Plan,
    program: Program,
    paths: Vec<Path>,
    options: StepOptions,
    loss: Loss,
    masks: Masks,
}

impl Stepper {
    /// Compiles the step for the model's modules, which `express` makes of what is trained; its input is the input of `block`.
    ///
    /// # Errors
    /// When the program cannot be compiled.
    pub fn new(
        resident: &Resident,
        block: usize,
        model: &Model,
        trained: Trained<'_>,
        options: StepOptions,
    ) -> Result<Self> {
        let blocks = BlockRange { start: block, end: resident.config().depth() };
        let plan = Plan { blocks, modules: model.modules() };
        let graph = training_graph(resident.config(), &plan, trained)?;
        let paths = paths(&graph, options.drop_path, resident.config().depth());
        let loss = trained.loss;
        Ok(Self { plan, program: resident.compile(&graph)?, paths, options, loss, masks: Masks::default() })
    }

    /// Holds the masked elements at zero, where they are.
    pub fn masked(self, masks: Masks) -> Self {
        Self { masks, ..self }
    }

    /// Makes one step. Returns the clipped gradients, which some scores need.
    ///
    /// # Errors
    /// When a run fails or the loss is no longer finite.
    pub fn step(
        &mut self,
        model: &mut Model,
        batch: &Minibatch,
        (rate, random): (f64, &mut ChaCha8Rng),
    ) -> Result<Stepped> {
        let mut stepped = self.gradients(model, batch, random)?;
        let loss = stepped.seen.loss;
        ensure!(loss.is_finite(), "the loss is {loss}: the learning rate is too high");
        self.masks.hold(&mut stepped.gradients);
        clip(&mut stepped.gradients.values_mut(), self.options.clip);
        for (name, parameter) in model.parameters.iter_mut() {
            let decay = if name.decays() { self.options.decay } else { 0.0 };
            parameter.state.step(&mut parameter.values, stepped.gradients.get(name)?, rate, decay);
        }
        Ok(stepped)
    }

    /// Mean loss over a minibatch and its gradients.
    ///
    /// # Errors
    /// When a run fails.
    pub fn gradients(
        &mut self,
        model: &Model,
        batch: &Minibatch,
        random: &mut ChaCha8Rng,
    ) -> Result<Stepped> {
        let (count, classes) = (batch.classes.len(), model.classes()?);
        // Drawn for the whole batch, so that its parts do not change what is drawn.
        let keep: Vec<Vec<f32>> = self.paths.iter().map(|path| path.draw(count, random)).collect();
        let size = self.options.micro_batch.max(1);
        let mut sum = Stepped { gradients: Gradients::zeros(&model.parameters), ..Stepped::default() };
        for start in (0..count).step_by(size) {
            let part = start..(start + size).min(count);
            let mut outputs = self.run(model, batch, (part.clone(), &keep))?;
            sum.seen.loss += outputs.take(LOSS)?.data.first().copied().map_or(f64::NAN, f64::from);
            let logits = outputs.take(LOGITS)?.data;
            if self.loss == Loss::CrossEntropy {
                let rows = logits.chunks(classes).zip(&batch.classes[part]);
                sum.seen.right += rows.filter(|(row, class)| likeliest(row) == Some(**class)).count();
            } else {
                sum.seen.outputs.extend(logits);
            }
            for (name, _) in model.parameters.iter() {
                sum.gradients.add(name, &outputs.take(&gradient_output(name))?.data)?;
            }
        }
        Ok(sum)
    }

    /// Loss, logits and gradients of some rows of a minibatch.
    fn run(
        &mut self,
        model: &Model,
        batch: &Minibatch,
        (part, keep): (Range<usize>, &[Vec<f32>]),
    ) -> Result<Outputs> {
        let (count, classes) = (batch.classes.len(), model.classes()?);
        let size = batch.values.len() / count;
        let targets = &batch.targets[part.start * classes..part.end * classes];
        // A mean over rows and, where each output has a loss of its own, over outputs.
        let (share, weights) = match self.loss.is_weighted() {
            false => (count as f32, Vec::new()),
            true => (1.0, vec![1.0 / (count * classes) as f32; part.len()]),
        };
        let targets: Vec<f32> = targets.iter().map(|t| t / share).collect();
        let (shape, wanted) = ([&[part.len()], &batch.shape[1..]].concat(), [part.len(), classes]);
        let values = &batch.values[part.start * size..part.end * size];
        let named = |(name, parameter): (ParameterName, _)| (name.to_string(), parameter);
        let parameters: Vec<_> = model.parameters.iter().map(named).collect();
        let mut inputs = vec![
            Input { name: input_name(self.plan.blocks.start), shape: &shape, data: values },
            Input { name: TARGETS, shape: &wanted, data: &targets },
        ];
        let weighed = [part.len(), 1];
        if self.loss.is_weighted() {
            inputs.push(Input { name: WEIGHTS, shape: &weighed, data: &weights });
        }
        for (name, parameter) in &parameters {
            inputs.push(Input { name, shape: &parameter.shape, data: &parameter.values });
        }
        let kept = [part.len(), 1, 1];
        for (path, keep) in self.paths.iter().zip(keep) {
            inputs.push(Input { name: &path.input, shape: &kept, data: &keep[part.clone()] });
        }
        Ok(self.program.run_named(&inputs)?)
    }
}
