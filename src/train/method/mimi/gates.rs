//! Gates with prices by depth: the front-first cut's rival, which trains once.
//!
//! What each neuron gives is multiplied by a gate g ([`Gated`](crate::graph::Gated)). It begins at 1 and is trained with the
//! rest. After a step it pays the price of its block (`price`) by a [`Proximal`] step. The gates that are too many close at an
//! even pace, unless the loss holds them; then they pay more as steps run out. So no rate of pay is chosen, and no size is
//! missed. Gates pay from the end of the warm-up to half of the epochs. Then exactly as many neurons are left as prunings would
//! leave, the strongest by |g| / p. Their gates are folded, and the second half trains them as plain adapters.
//!
//! A closed gate still has a gradient, so the loss may open it before that. Its neuron's matrices have none meanwhile.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use super::options::{MimiOptions, Target};
use super::price::prices;
use super::prune::{strongest_that, survivors};
use super::room::Room;
use super::score::Scores;
use crate::backbone::{BackboneConfig, Module};
use crate::graph::ParameterName;
use crate::train::model::Model;
use crate::train::optim::proximal::Proximal;
use crate::train::parameters::Parameter;

/// What gates pay, and when they are frozen.
#[derive(Clone, Debug, PartialEq)]
pub struct Gating {
    proximal: Proximal,
    /// Most parameters that neurons have, where that is the target.
    most: Option<usize>,
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
        let prices = prices.into_iter().map(|(module, price)| (ParameterName::gate(module), price)).collect();
        let paying = warm.min(end.saturating_sub(1))..end;
        Ok(Some(Self { proximal: Proximal { prices, left, paying }, most, epochs }))
    }

    /// What gates pay.
    pub fn proximal(&self) -> &Proximal {
        &self.proximal
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
        let strongest =
            strongest_that(&self.strengths(model), self.proximal.left, |module| room.take(module));
        ensure!(!strongest.is_empty(), "{most} parameters are fewer than the smallest neuron needs, {least}");
        kept.keep(&strongest);
        Ok(kept)
    }

    /// |g| / p of each neuron.
    fn strengths(&self, model: &Model) -> Scores {
        let of = |(name, own): (ParameterName, &Parameter)| {
            Some((name.module()?, self.proximal.strengths(name, &own.values)?))
        };
        model.parameters.iter().filter_map(of).collect()
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
