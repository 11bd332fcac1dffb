//! Gates with prices by depth: the front-first cut's rival, which trains once.
//!
//! What each neuron gives is multiplied by a gate g ([`Gated`](crate::graph::Gated)). It begins at 1 and is trained with the
//! rest. After a step it pays (SoRA's proximal step, Ding et al. 2023; prices and their scale are ours):
//! ```text
//! g ← sign(g) · max(|g| − η λ p, 0)          p the price of its block (`price`)
//! η λ = r / (s + 1)                          s steps are left in which gates pay, this one among them
//! ```
//! r is the largest |g| / p of the gates that are too many. These close at an even pace, unless the loss holds them; then λ
//! rises as steps run out. So no λ is chosen, and no size is missed. Gates pay from the end of the warm-up to half of the
//! epochs. Then exactly as many neurons are left as prunings would leave, the strongest by |g| / p. Their gates are folded,
//! and the second half trains them as plain adapters.
//!
//! A closed gate still has a gradient, so the loss may open it before that. Its neuron's matrices have none meanwhile.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Context, Result, ensure};
use rand_chacha::ChaCha8Rng;

use super::options::{MimiOptions, Target};
use super::price::prices;
use super::prune::{strongest_that, survivors};
use super::room::Room;
use super::score::Scores;
use crate::backbone::{BackboneConfig, Module, Part};
use crate::graph::ParameterName;
use crate::train::data::minibatch::Minibatch;
use crate::train::model::Model;
use crate::train::optim::learner::Learner;
use crate::train::optim::step::{Stepped, Stepper};
use crate::train::parameters::Parameter;

/// `sign(g) · max(|g| − t, 0)`: the x that makes `½ (x − g)² + t |x|` least.
pub fn soft_threshold(gate: f32, threshold: f32) -> f32 {
    // NaN stays NaN, so that a training that diverged is seen.
    if gate.abs() <= threshold { 0.0 } else { gate - threshold.copysign(gate) }
}

/// What gates pay, and when they are frozen.
#[derive(Clone, Debug, PartialEq)]
pub struct Gating {
    prices: BTreeMap<Module, f64>,
    /// Neurons that are left.
    left: usize,
    /// Most parameters that they have, where that is the target.
    most: Option<usize>,
    /// Steps after which gates pay.
    paying: Range<usize>,
    /// Epochs after which they are frozen.
    epochs: usize,
}

impl Gating {
    /// Gates of a training of so many `steps` an epoch; none where the options have none.
    ///
    /// # Errors
    /// When there is one epoch, the target has no room for a neuron, or the backbone's configuration contradicts itself.
    pub fn new(options: &MimiOptions, config: &BackboneConfig, steps: usize) -> Result<Option<Self>> {
        let Some(steepness) = options.gates() else { return Ok(None) };
        let all = options.epochs;
        ensure!(all > 1, "gates are frozen after half of the epochs: there is {all}, expected at least 2");
        let epochs = all.div_ceil(2);
        let warm = options.shape.over(steps * all, options.rate).warmup;
        let end = epochs * steps;
        let mut widths = options.first_widths(config);
        widths.retain(|module, _| module.form.has_neurons());
        let most = match options.target {
            Target::Parameters(most) => Some(most),
            _ => None,
        };
        let left = left(options, &widths, config)?;
        ensure!(left > 0, "no neuron is left of {}", widths.values().sum::<usize>());
        let prices = prices(config, widths.into_keys().collect(), steepness)?;
        Ok(Some(Self { prices, left, most, paying: warm.min(end.saturating_sub(1))..end, epochs }))
    }

    /// Neurons that are left in the end.
    pub fn left(&self) -> usize {
        self.left
    }

    /// Steps after which gates pay, counted from the first of the training.
    pub fn paying(&self) -> Range<usize> {
        self.paying.clone()
    }

    /// Takes what gates pay after a step.
    pub fn pay(&self, model: &mut Model, step: usize) {
        if !self.paying.contains(&step) {
            return;
        }
        let steps = self.paying.end - step;
        let scale = self.surplus(model) / (steps + 1) as f64;
        for (name, parameter) in model.parameters.iter_mut() {
            let Some(price) = self.price(name) else { continue };
            let due = (scale * price) as f32;
            parameter.values.iter_mut().for_each(|gate| *gate = soft_threshold(*gate, due));
        }
    }

    /// Whether gates are frozen when so many epochs have ended.
    pub fn freezes_after(&self, epochs: usize) -> bool {
        epochs == self.epochs
    }

    /// The model of the strongest neurons alone, their gates folded. Where parameters are the target, one that no longer fits
    /// leaves its place to the next that does.
    ///
    /// # Errors
    /// When none fits.
    pub fn frozen(&self, model: &Model) -> Result<Model> {
        let mut kept = model.folded();
        let most = self.most.unwrap_or(usize::MAX);
        let mut room = Room::new(&kept, most);
        let least = room.least();
        let strongest = strongest_that(&self.strengths(model), self.left, |module| room.take(module));
        ensure!(!strongest.is_empty(), "{most} parameters are fewer than the smallest neuron needs, {least}");
        kept.keep(&strongest);
        Ok(kept)
    }

    /// |g| / p of each neuron.
    fn strengths(&self, model: &Model) -> Scores {
        let of = |(name, own): (ParameterName, &Parameter)| {
            let (module, price) = (name.module()?, self.price(name)?);
            Some((module, own.values.iter().map(|gate| f64::from(gate.abs()) / price).collect()))
        };
        model.parameters.iter().filter_map(of).collect()
    }

    /// The largest |g| / p of the gates that are too many.
    fn surplus(&self, model: &Model) -> f64 {
        let mut all: Vec<f64> = self.strengths(model).into_values().flatten().collect();
        if self.left >= all.len() {
            return 0.0;
        }
        *all.select_nth_unstable_by(self.left, |a, b| b.total_cmp(a)).1
    }

    /// The price of a gate; none for other parameters.
    fn price(&self, name: ParameterName) -> Option<f64> {
        match name {
            ParameterName::Module(module, Part::Gate) => self.prices.get(&module).copied(),
            _ => None,
        }
    }
}

/// Neurons that prunings would leave; under a target of parameters as many as have them, were all alike, and at least one
/// where the smallest fits.
fn left(options: &MimiOptions, widths: &BTreeMap<Module, usize>, config: &BackboneConfig) -> Result<usize> {
    let neurons: usize = widths.values().sum();
    if let Target::Parameters(most) = options.target {
        let size = |module: &Module| 2 * config.block_width(module.site.block);
        let all: usize = widths.iter().map(|(module, width)| size(module) * width).sum();
        let least = widths.keys().map(size).min().unwrap_or(0);
        ensure!(most >= least, "{most} parameters are fewer than one neuron has: {least} or more");
        return Ok(((most as f64 / all as f64 * neurons as f64 + 1e-9) as usize).clamp(1, neurons.max(1)));
    }
    let trainings =
        options.expected(widths, config).context("gates are frozen at a size, not at an accuracy")?;
    Ok(survivors(neurons, options.rho, trainings - 1))
}

/// A model that learns, and whose gates pay after each step.
pub struct Priced<'a> {
    /// Makes steps.
    pub stepper: &'a mut Stepper,
    /// The model.
    pub model: &'a mut Model,
    /// What gates pay.
    pub gating: &'a Gating,
    /// Steps made before.
    pub step: usize,
}

impl Learner for Priced<'_> {
    fn classes(&self) -> Result<usize> {
        Ok(self.model.classes()?)
    }

    fn step(&mut self, batch: &Minibatch, at: (f64, &mut ChaCha8Rng)) -> Result<Stepped> {
        let stepped = self.stepper.step(self.model, batch, at)?;
        self.gating.pay(self.model, self.step);
        self.step += 1;
        Ok(stepped)
    }
}
