//! Pruning before training (SNIP, GraSP, SparseAdapter): the target is reached at once.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::neuron::{Matrices, total};
use super::options::{MimiOptions, Target};
use super::prune::{Pruning, Selection, select, strongest_anywhere, survivors};
use super::saliency::Surveyor;
use super::score::{Score, Scores, StartScore};
use super::state::State;
use crate::backbone::{BackboneConfig, Module};
use crate::graph::{Express, ParameterName};
use crate::runtime::Resident;
use crate::train::data::minibatch::{Draw, TargetOptions};
use crate::train::data::source::Source;
use crate::train::model::Model;
use crate::train::optim::epoch::order;
use crate::train::optim::mask::{Masks, Saliency};
use crate::train::optim::recipe::Recipe;

impl MimiOptions {
    /// The score of every weight before training, where that is how the target is reached.
    pub fn at_start(&self) -> Option<StartScore> {
        match (self.score, self.target) {
            (_, Target::Never) => None,
            (Score::Start(score), _) => Some(score),
            _ => None,
        }
    }
}

/// A fresh state, pruned where the options say so. Nothing else changes the state before its first epoch.
///
/// # Errors
/// When an image can no longer be read, or a run fails.
pub fn prune(
    resident: &Resident,
    (options, recipe): (&MimiOptions, &Recipe),
    source: &Source,
    state: &mut State,
) -> Result<()> {
    let Some(score) = options.at_start() else { return Ok(()) };
    let (model, config) = (&state.model, resident.config());
    let chance = recipe.chance(state.place);
    let order = order(source.classes().len(), chance);
    let indices = &order[..recipe.batch.min(order.len())];
    let targets = TargetOptions { classes: model.classes()?, smoothing: recipe.smoothing };
    let batch = source.batch(&Draw { indices, number: 0, chance }, targets)?;
    let kind = options.kind(config);
    let bound = kind.on(config);
    let trained: (&dyn Express, _) = (&bound, source.truths().loss());
    let micro_batch = recipe.step.micro_batch;
    let mut surveyor = Surveyor::new(resident, source.block(), model, trained, micro_batch)?;
    let saliency = surveyor.saliency(model, &batch, score)?;
    match options.selection {
        Selection::Unstructured => mask(&saliency, options, config, state),
        Selection::Global | Selection::Local => cut(&saliency, options, config, state)?,
    }
    Ok(())
}

/// Holds all but the strongest weights at zero.
fn mask(saliency: &Saliency, options: &MimiOptions, config: &BackboneConfig, state: &mut State) {
    let all = saliency.values().map(Vec::len).sum();
    let kept = |round| survivors(all, options.rho, round);
    let mut round = first_round(options, state, config);
    if let Target::Parameters(most) = options.target {
        // Biases are no weights that a mask chooses among.
        let rest = state.model.module_parameters() - all;
        round = (0..).find(|&round| kept(round) + rest <= most || kept(round + 1) == 0).unwrap_or(round);
    }
    state.masks = Masks::strongest(saliency, kept(round));
    state.masks.apply(&mut state.model);
}

/// Removes all but the strongest neurons.
fn cut(saliency: &Saliency, options: &MimiOptions, config: &BackboneConfig, state: &mut State) -> Result<()> {
    let scores = by_neuron(&state.model, saliency)?;
    let neurons = state.original.values().sum();
    for round in first_round(options, state, config).. {
        let mut model = state.model.clone();
        model.keep(&selected(&scores, options, &state.original, round));
        let fits = match options.target {
            Target::Parameters(most) => model.module_parameters() <= most,
            _ => true,
        };
        if fits || survivors(neurons, options.rho, round + 1) == 0 {
            state.model = model;
            break;
        }
    }
    Ok(())
}

/// What is left after as many prunings as MiMi would make; of equal neurons the first.
fn selected(
    scores: &Scores,
    options: &MimiOptions,
    original: &BTreeMap<Module, usize>,
    round: usize,
) -> BTreeMap<Module, Vec<usize>> {
    match options.selection {
        Selection::Local => select(scores, Selection::Local, original, Pruning { rho: options.rho, round }),
        _ => strongest_anywhere(scores, survivors(original.values().sum(), options.rho, round)),
    }
}

/// Prunings that MiMi would make to the target.
fn first_round(options: &MimiOptions, state: &State, config: &BackboneConfig) -> usize {
    options.expected(&state.original, config).map_or(0, |trainings| trainings - 1)
}

/// The sum of its weights' scores for each neuron.
fn by_neuron(model: &Model, saliency: &Saliency) -> Result<Scores> {
    let of = |name| saliency.get(&name).with_context(|| format!("{name} has no score"));
    let neurons = |(module, width): (Module, usize)| {
        let (down, up) = (of(ParameterName::down(module))?, of(ParameterName::up(module))?);
        Ok((module, total(&Matrices { down, up, width })))
    };
    model.widths().into_iter().map(neurons).collect()
}
