//! Steps whose parameters, moments and gradients stay on the device: losses and logits alone come down.
//!
//! Everything trained is one vector ([`flat`]). Two graphs take turns: the gradients of each part of a minibatch, and the
//! [`update`]. What one writes the other reads, on the device.

use std::mem;

use anyhow::{Result, ensure};
use rand_chacha::ChaCha8Rng;

use super::adamw::{AdamW, AdamWOptions};
use super::diverged::Diverged;
use super::gradients::Gradients;
use super::learner::Learner;
use super::parts::Parts;
use super::step::{Seen, StepOptions, Stepped, step_graph};
use crate::graph::flat::{BEFORE, GRADIENTS, Layout, PARAMETERS, flat};
use crate::graph::update::{self, update};
use crate::graph::{ParameterName, Trained};
use crate::runtime::{DeviceMemory, DeviceTensor, Held, HeldInput, HeldOutput, Input, Program, Resident};
use crate::train::data::minibatch::Minibatch;
use crate::train::model::Model;
use crate::train::parameters::Parameter;

/// Compiled steps of one plan.
pub struct DeviceStepper {
    parts: Parts,
    update: Program,
    layout: Layout,
    options: StepOptions,
    memory: DeviceMemory,
}

/// A model whose state is on the device while it learns.
pub struct DeviceLearning<'a> {
    stepper: &'a mut DeviceStepper,
    model: &'a mut Model,
    /// What the next step reads, and what it writes.
    states: [State; 2],
    /// Zeros, the sum of this minibatch's gradients, and room for the next sum.
    gradients: [DeviceTensor; 3],
    decay: DeviceTensor,
    pace: DeviceTensor,
    classes: usize,
    steps: i32,
}

/// The vectors that a step changes.
struct State {
    values: DeviceTensor,
    mean: DeviceTensor,
    square: DeviceTensor,
    /// Sum of clipped gradients.
    sum: DeviceTensor,
}

impl State {
    fn named(&self) -> [(&'static str, &DeviceTensor); 4] {
        let Self { values, mean, square, sum } = self;
        [(update::VALUES, values), (update::MEAN, mean), (update::SQUARE, square), (update::SUM, sum)]
    }
}

impl DeviceStepper {
    /// Compiles the steps of a model's modules on inputs of `block`.
    ///
    /// # Errors
    /// When a program cannot be compiled or the device cannot be reached.
    pub fn new(
        resident: &Resident,
        block: usize,
        model: &Model,
        trained: Trained<'_>,
        options: StepOptions,
    ) -> Result<Self> {
        let layout = layout(model);
        let graph = flat(&step_graph(resident, block, model, trained)?, &layout)?;
        let update = update(layout.count(), AdamWOptions::default(), options.clip)?;
        Ok(Self {
            parts: Parts::new(resident, &graph, options.parts(block, trained.loss))?,
            update: resident.compile(&update)?,
            layout,
            options,
            memory: DeviceMemory::of(resident.runtime())?,
        })
    }

    /// Whether a model has the parameters that this was compiled for.
    pub fn fits(&self, model: &Model) -> bool {
        layout(model) == self.layout
    }

    /// Copies a model's state to the device.
    ///
    /// # Errors
    /// When the device has no room, or the parameters have not made equally many steps.
    pub fn learn<'a>(&'a mut self, model: &'a mut Model) -> Result<DeviceLearning<'a>> {
        let steps = steps(model)?;
        let shape = [self.layout.count()];
        let gather = |of: &dyn Fn(ParameterName, &Parameter) -> Vec<f32>| {
            let all: Vec<f32> = model.parameters.iter().flat_map(|(name, own)| of(name, own)).collect();
            self.memory.of_values(&shape, &all)
        };
        let (zeros, room) = (|| self.memory.filled(&shape, 0.0), || self.memory.room(&shape));
        let now = State {
            values: gather(&|_, own| own.values.clone())?,
            mean: gather(&|_, own| own.state.moments().0.to_vec())?,
            square: gather(&|_, own| own.state.moments().1.to_vec())?,
            sum: zeros()?,
        };
        let next = State { values: room()?, mean: room()?, square: room()?, sum: room()? };
        let (states, gradients) = ([now, next], [zeros()?, room()?, room()?]);
        let options = self.options;
        let decay = gather(&|name, own| vec![options.decay_of(name, own) as f32; own.values.len()])?;
        let pace = gather(&|name, own| vec![name.pace() as f32; own.values.len()])?;
        let classes = model.classes()?;
        Ok(DeviceLearning { stepper: self, model, states, gradients, decay, pace, classes, steps })
    }
}

fn layout(model: &Model) -> Layout {
    Layout::new(model.parameters.iter().map(|(name, own)| (name, own.shape.clone())))
}

/// Steps that every parameter has made.
fn steps(model: &Model) -> Result<i32> {
    let mut all = model.parameters.iter().map(|(name, own)| (name, own.state.moments().2));
    let Some((first, steps)) = all.next() else { return Ok(0) };
    for (name, own) in all {
        ensure!(own == steps, "{name} has made {own} steps and {first} {steps}: expected as many");
    }
    Ok(steps)
}

impl DeviceLearning<'_> {
    /// Brings the state back to the model, and returns the sum of all clipped gradients.
    ///
    /// # Errors
    /// When a copy fails.
    pub fn finish(self) -> Result<Gradients> {
        let [state, _] = &self.states;
        let [values, mean, square] = [state.values.values()?, state.mean.values()?, state.square.values()?];
        let layout = &self.stepper.layout;
        let moments = layout.parts(&mean).zip(layout.parts(&square));
        let parts = layout.parts(&values).zip(moments);
        for ((_, own), ((_, values), ((_, mean), (_, square)))) in self.model.parameters.iter_mut().zip(parts)
        {
            own.values = values.to_vec();
            own.state = AdamW::restore(mean.to_vec(), square.to_vec(), self.steps);
        }
        let sum = state.sum.values()?;
        Ok(layout.parts(&sum).map(|(name, part)| (name, part.to_vec())).collect())
    }

    /// Sums a minibatch's gradients on the device.
    fn gradients(&mut self, batch: &Minibatch, random: &mut ChaCha8Rng) -> Result<Seen> {
        let [zeros, sum, next] = &mut self.gradients;
        let (values, mut is_first) = (&self.states[0].values, true);
        self.stepper.parts.run_by((batch, self.classes), random, |program, images| {
            let before = if mem::take(&mut is_first) { &*zeros } else { &*sum };
            let held = [(PARAMETERS, values), (BEFORE, before)].map(held);
            let outputs = program.run_into(images, (&held, &[HeldOutput::whole(GRADIENTS, next)]))?;
            mem::swap(sum, next);
            Ok(outputs)
        })
    }

    /// Updates parameters and moments.
    fn update(&mut self, rate: f64) -> Result<()> {
        self.steps += 1;
        let [rates, sizes, corrections] = scalars(rate, self.steps).map(|scalar| [scalar]);
        let shape = [1];
        let fed = [(update::RATE, &rates), (update::SIZE, &sizes), (update::CORRECTION, &corrections)];
        let fed = fed.map(|(name, data)| Input { name, shape: &shape, data });
        let [now, next] = &self.states;
        let fixed = [
            (update::GRADIENT, &self.gradients[1]),
            (update::DECAY, &self.decay),
            (update::PACE, &self.pace),
        ];
        let read: Vec<HeldInput<'_>> = now.named().into_iter().chain(fixed).map(held).collect();
        let names = next.named().map(|(name, tensor)| (update::next(name), tensor));
        let written: Vec<HeldOutput<'_>> =
            names.iter().map(|(name, tensor)| HeldOutput::whole(name, tensor)).collect();
        self.stepper.update.run_into(&fed, (&read, &written))?;
        self.states.swap(0, 1);
        Ok(())
    }
}

impl Learner for DeviceLearning<'_> {
    fn classes(&self) -> Result<usize> {
        Ok(self.classes)
    }

    fn step(&mut self, batch: &Minibatch, (rate, random): (f64, &mut ChaCha8Rng)) -> Result<Stepped> {
        let seen = self.gradients(batch, random)?;
        ensure!(seen.loss.is_finite(), Diverged(seen.loss));
        self.update(rate)?;
        Ok(Stepped { seen, gradients: Gradients::default() })
    }
}

fn held<'a>((name, tensor): (&'a str, &'a DeviceTensor)) -> HeldInput<'a> {
    HeldInput { name, held: Held::Tensor(tensor) }
}

/// η, `η / (1 − β₁ᵗ)` and `√(1 − β₂ᵗ)`.
fn scalars(rate: f64, steps: i32) -> [f32; 3] {
    let [of_mean, of_square] = AdamWOptions::default().corrections(steps);
    [rate, rate / of_mean, of_square].map(|scalar| scalar as f32)
}
