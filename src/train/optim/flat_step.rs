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
use super::parts::{PartOptions, Parts};
use super::proximal::Proximal;
use super::step::{Seen, Stepped};
use crate::graph::Graph;
use crate::graph::flat::{BEFORE, GRADIENTS, Layout, PARAMETERS, flat};
use crate::graph::update::proximal::{self, Gates};
use crate::graph::update::{self, UpdateOptions, update};
use crate::runtime::{DeviceMemory, DeviceTensor, Held, HeldInput, HeldOutput, Input, Program, Resident};
use crate::train::data::minibatch::Minibatch;
use crate::train::parameters::Parameter;

/// A tensor that is trained, and what its steps must know of it.
pub struct Trainee<'a> {
    /// Its name.
    pub name: String,
    /// Values and moments.
    pub own: &'a mut Parameter,
    /// Weight decay.
    pub decay: f64,
    /// What its learning rate is multiplied by.
    pub pace: f64,
    /// Which elements are trained; all without it.
    pub mask: Option<&'a [bool]>,
}

/// What steps do.
pub struct FlatOptions {
    /// How the training graph is run.
    pub parts: PartOptions,
    /// Largest global norm of the gradients.
    pub clip: f64,
    /// Whether some elements are held at zero.
    pub is_masked: bool,
    /// Whether clipped gradients are summed.
    pub sums: bool,
    /// What gates pay, if there are some.
    pub proximal: Option<Proximal>,
}

/// Compiled steps of one training graph.
pub struct FlatStepper {
    parts: Parts,
    update: Program,
    layout: Layout,
    options: UpdateOptions,
    /// When gates pay, where they do.
    proximal: Option<Proximal>,
    memory: DeviceMemory,
}

/// Tensors whose state is on the device while they learn.
pub struct FlatLearning<'a> {
    stepper: &'a mut FlatStepper,
    trainees: Vec<Trainee<'a>>,
    /// What the next step reads, and what it writes.
    states: [State; 2],
    /// Zeros, the sum of this minibatch's gradients, and room for the next sum.
    gradients: [DeviceTensor; 3],
    /// What every step reads.
    fixed: Vec<(&'static str, DeviceTensor)>,
    classes: usize,
    steps: i32,
}

/// The vectors that a step changes.
struct State {
    values: DeviceTensor,
    mean: DeviceTensor,
    square: DeviceTensor,
    /// Sum of clipped gradients, where they are summed.
    sum: Option<DeviceTensor>,
}

impl State {
    fn named(&self) -> impl Iterator<Item = (&'static str, &DeviceTensor)> {
        let Self { values, mean, square, sum } = self;
        let always = [(update::VALUES, values), (update::MEAN, mean), (update::SQUARE, square)];
        always.into_iter().chain(sum.iter().map(|sum| (update::SUM, sum)))
    }
}

impl FlatStepper {
    /// Compiles the steps of a training graph.
    ///
    /// # Errors
    /// When a program cannot be compiled or the device cannot be reached.
    pub fn new(resident: &Resident, graph: &Graph, layout: Layout, options: FlatOptions) -> Result<Self> {
        let FlatOptions { parts, clip, is_masked, sums, proximal } = options;
        let (gates, proximal) = proximal.and_then(|proximal| gates(&layout, proximal)).unzip();
        let options = UpdateOptions { is_masked, sums, gates, ..UpdateOptions::new(clip) };
        let parts = Parts::new(resident, &flat(graph, &layout)?, parts)?;
        let update = resident.compile(&update(layout.count(), &options)?)?;
        let memory = DeviceMemory::of(resident.runtime())?;
        Ok(Self { parts, update, layout, options, proximal, memory })
    }

    /// What lies where in the vector.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Copies the state of what the layout names to the device.
    ///
    /// # Errors
    /// When the tensors are others than the layout's, have not made equally many steps, or the device has no room.
    pub fn learn<'a>(&'a mut self, trainees: Vec<Trainee<'a>>, classes: usize) -> Result<FlatLearning<'a>> {
        self.compare(&trainees)?;
        let steps = steps(&trainees)?;
        let shape = [self.layout.count()];
        let gather = |of: &dyn Fn(&Trainee<'a>) -> Vec<f32>| {
            let all: Vec<f32> = trainees.iter().flat_map(of).collect();
            self.memory.of_values(&shape, &all)
        };
        let (zeros, room) = (|| self.memory.filled(&shape, 0.0), || self.memory.room(&shape));
        let sums = self.options.sums;
        let now = State {
            values: gather(&|one| one.own.values.clone())?,
            mean: gather(&|one| one.own.state.moments().0.to_vec())?,
            square: gather(&|one| one.own.state.moments().1.to_vec())?,
            sum: sums.then(zeros).transpose()?,
        };
        let next =
            State { values: room()?, mean: room()?, square: room()?, sum: sums.then(room).transpose()? };
        let (states, gradients) = ([now, next], [zeros()?, room()?, room()?]);
        let fixed = self.fixed(&trainees)?;
        Ok(FlatLearning { stepper: self, trainees, states, gradients, fixed, classes, steps })
    }

    /// Compares tensors with what was compiled for.
    fn compare(&self, trainees: &[Trainee<'_>]) -> Result<()> {
        let expected = self.layout.pieces().iter().map(|piece| (piece.name.as_str(), piece.size()));
        let found = trainees.iter().map(|one| (one.name.as_str(), one.own.values.len()));
        let (expected, found): (Vec<_>, Vec<_>) = (expected.collect(), found.collect());
        ensure!(expected == found, "the steps are of {expected:?}, found {found:?}");
        Ok(())
    }

    /// What stays the same from step to step.
    fn fixed(&self, trainees: &[Trainee<'_>]) -> Result<Vec<(&'static str, DeviceTensor)>> {
        let held = |name: &'static str, values: Vec<f32>| {
            anyhow::Ok((name, self.memory.of_values(&[self.layout.count()], &values)?))
        };
        let of_each = |of: &dyn Fn(&Trainee<'_>) -> f64| {
            let of = |one: &Trainee<'_>| vec![of(one) as f32; one.own.values.len()];
            trainees.iter().flat_map(of).collect::<Vec<f32>>()
        };
        let mut fixed = vec![held(update::DECAY, of_each(&|one| one.decay))?];
        fixed.push(held(update::PACE, of_each(&|one| one.pace))?);
        if self.options.is_masked {
            fixed.push(held(update::MASK, trainees.iter().flat_map(mask).collect())?);
        }
        if let Some(gates) = &self.options.gates {
            let mut prices = vec![0.0; self.layout.count()];
            gates.places.iter().zip(&gates.prices).for_each(|(&place, price)| prices[place] = *price);
            fixed.push(held(proximal::PRICE, prices)?);
        }
        Ok(fixed)
    }
}

/// The gates of a vector and when they pay, where some are too many.
fn gates(layout: &Layout, proximal: Proximal) -> Option<(Gates, Proximal)> {
    let mut gates = Gates { places: Vec::new(), prices: Vec::new(), left: proximal.left };
    let mut start = 0;
    for piece in layout.pieces() {
        let end = start + piece.size();
        if let Some(price) = piece.name.parse().ok().and_then(|name| proximal.price(name)) {
            gates.places.extend(start..end);
            gates.prices.resize(gates.places.len(), price as f32);
        }
        start = end;
    }
    (gates.places.len() > gates.left).then_some((gates, proximal))
}

/// 1 for each element that is trained, 0 for others.
fn mask(one: &Trainee<'_>) -> Vec<f32> {
    match one.mask {
        Some(mask) => mask.iter().map(|&is_trained| f32::from(u8::from(is_trained))).collect(),
        None => vec![1.0; one.own.values.len()],
    }
}

/// Steps that every tensor has made.
fn steps(trainees: &[Trainee<'_>]) -> Result<i32> {
    let mut all = trainees.iter().map(|one| (&one.name, one.own.state.moments().2));
    let Some((first, steps)) = all.next() else { return Ok(0) };
    for (name, own) in all {
        ensure!(own == steps, "{name} has made {own} steps and {first} {steps}: expected as many");
    }
    Ok(steps)
}

impl FlatLearning<'_> {
    /// Brings the state back to where it came from, and returns the sum of all clipped gradients by name; nothing where they
    /// were not summed.
    ///
    /// # Errors
    /// When a copy fails.
    pub fn finish(self) -> Result<Vec<(String, Vec<f32>)>> {
        let ([state, _], layout) = (&self.states, &self.stepper.layout);
        let mut trainees = self.trainees;
        // Values first, then both moments: of a whole backbone each takes as much memory as its weights.
        let values = state.values.values()?;
        trainees
            .iter_mut()
            .zip(layout.parts(&values))
            .for_each(|(one, (_, own))| one.own.values = own.to_vec());
        drop(values);
        let [mean, square] = [state.mean.values()?, state.square.values()?];
        let moments = layout.parts(&mean).zip(layout.parts(&square));
        for (one, ((_, mean), (_, square))) in trainees.iter_mut().zip(moments) {
            one.own.state = AdamW::restore(mean.to_vec(), square.to_vec(), self.steps);
        }
        let Some(sum) = &state.sum else { return Ok(Vec::new()) };
        let sum = sum.values()?;
        Ok(layout.parts(&sum).map(|(name, part)| (name.to_owned(), part.to_vec())).collect())
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
        let made = self.steps.max(0) as usize;
        let share = self.stepper.proximal.as_ref().map(|proximal| [proximal.share(made) as f32]);
        self.steps += 1;
        let [rates, sizes, corrections] = scalars(rate, self.steps).map(|scalar| [scalar]);
        let shares = share.as_ref().map(|share| (proximal::SHARE, share));
        let fed = [(update::RATE, &rates), (update::SIZE, &sizes), (update::CORRECTION, &corrections)];
        let fed = fed.into_iter().chain(shares).map(|(name, data)| Input { name, shape: &[1], data });
        let [now, next] = &self.states;
        let fixed = self.fixed.iter().map(|(name, tensor)| (*name, tensor));
        let read = now.named().chain([(update::GRADIENT, &self.gradients[1])]).chain(fixed);
        let read = read.map(|(name, tensor)| held((name, tensor)));
        let (fed, read): (Vec<Input<'_>>, Vec<HeldInput<'_>>) = (fed.collect(), read.collect());
        let names: Vec<_> = next.named().map(|(name, tensor)| (update::next(name), tensor)).collect();
        let written: Vec<HeldOutput<'_>> =
            names.iter().map(|(name, tensor)| HeldOutput::whole(name, tensor)).collect();
        self.stepper.update.run_into(&fed, (&read, &written))?;
        self.states.swap(0, 1);
        Ok(())
    }
}

impl Learner for FlatLearning<'_> {
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
