//! One step: forward, backward, clip, update.

use std::thread;

use anyhow::{Result, anyhow, ensure};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::around::Around;
use super::clip::clip;
use super::diverged::Diverged;
use super::gradients::Gradients;
use super::parts::{PartOptions, Parts};
use crate::backbone::BlockRange;
use crate::graph::training::{Loss, gradient_output, training_graph};
use crate::graph::{Graph, ParameterName, Plan, Trained};
use crate::runtime::{Input, Resident};
use crate::train::data::minibatch::Minibatch;
use crate::train::model::Model;
use crate::train::parameters::Parameter;

pub use super::parts::Seen;

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

impl StepOptions {
    /// How the graph of a step is run.
    pub(super) fn parts(&self, block: usize, loss: Loss) -> PartOptions {
        PartOptions { block, micro_batch: self.micro_batch, drop_path: self.drop_path, loss }
    }

    /// Weight decay of a parameter.
    pub(super) fn decay_of(&self, name: ParameterName, parameter: &Parameter) -> f64 {
        if name.decays(&parameter.shape) { self.decay } else { 0.0 }
    }
}

/// The graph of a step of the model's modules on inputs of `block`.
///
/// # Errors
/// When the backbone has no place for a module.
pub(super) fn step_graph(
    resident: &Resident,
    block: usize,
    model: &Model,
    trained: Trained<'_>,
) -> Result<Graph> {
    let blocks = BlockRange { start: block, end: resident.config().depth() };
    Ok(training_graph(resident.config(), &Plan { blocks, modules: model.modules() }, trained)?)
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
    parts: Parts,
    options: StepOptions,
    around: Around,
    /// Threads that update parameters.
    threads: usize,
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
        let graph = step_graph(resident, block, model, trained)?;
        Ok(Self {
            parts: Parts::new(resident, &graph, options.parts(block, trained.loss))?,
            options,
            around: Around::default(),
            threads: resident.threads(),
        })
    }

    /// Does more around each step. Masked elements are held at zero, where they are.
    pub fn with(self, around: Around) -> Self {
        Self { around, ..self }
    }

    /// Whether the same is done around its steps.
    pub fn fits(&self, around: &Around) -> bool {
        self.around == *around
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
        ensure!(loss.is_finite(), Diverged(loss));
        self.around.masks.hold(&mut stepped.gradients);
        clip(&mut stepped.gradients.values_mut(), self.options.clip);
        let made = self.around.proximal.as_ref().map_or(0, |proximal| proximal.made(model));
        let update = |(name, parameter): (ParameterName, &mut Parameter)| {
            let decay = self.options.decay_of(name, parameter);
            let (gradient, rate) = (stepped.gradients.get(name)?, rate * name.pace());
            parameter.state.step(&mut parameter.values, gradient, rate, decay);
            anyhow::Ok(())
        };
        let mut parameters: Vec<(ParameterName, &mut Parameter)> = model.parameters.iter_mut().collect();
        let each = parameters.len().div_ceil(self.threads).max(1);
        thread::scope(|scope| {
            let mut parts = Vec::new();
            while !parameters.is_empty() {
                let part = parameters.split_off(parameters.len().saturating_sub(each));
                parts.push(scope.spawn(|| part.into_iter().try_for_each(update)));
            }
            parts.into_iter().try_for_each(|part| part.join().map_err(|_| anyhow!("an update panicked"))?)
        })?;
        if let Some(proximal) = &self.around.proximal {
            proximal.pay(model, made);
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
        let bits = self.around.bits;
        let kept = (!bits.is_full()).then(|| model.kept_at(bits));
        let model = kept.as_ref().unwrap_or(model);
        let named = |(name, parameter): (ParameterName, _)| (name.to_string(), parameter);
        let parameters: Vec<(String, &Parameter)> = model.parameters.iter().map(named).collect();
        let inputs: Vec<Input<'_>> = parameters
            .iter()
            .map(|(name, own)| Input { name, shape: &own.shape, data: &own.values })
            .collect();
        let mut gradients = Gradients::default();
        let seen = self.parts.run(&inputs, (batch, model.classes()?), random, |outputs| {
            let mut of_part = |name| anyhow::Ok((name, outputs.take(&gradient_output(name))?.data));
            let of_part = model.parameters.iter().map(|(name, _)| of_part(name)).collect::<Result<_>>()?;
            match gradients.is_empty() {
                true => gradients = of_part,
                false => gradients.add_all(&of_part)?,
            }
            Ok(())
        })?;
        Ok(Stepped { seen, gradients })
    }
}
