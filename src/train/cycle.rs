//! MiMi (Marouf et al. 2024, algorithm 1): train, score, prune, and again, ending on a training.

use anyhow::{Result, bail};
use rand::RngExt;

use super::epoch::{chance, steps};
use super::model::Model;
use super::options::{MimiOptions, Target};
use super::predict::{Measure, Predictor};
use super::prefix::{Prefix, Rows};
use super::progress::{Cycle, Epoch, Observer, Progress};
use super::prune::{select, survivors};
use super::resident::Resident;
use super::score::scores;
use super::source::Source;
use super::state::State;
use super::step::{Gradients, Stepper};
use crate::backbone::{BackboneConfig, BlockRange, SiteSet};
use crate::graph::{Plan, plan_flops};

/// Trains from one state to the next.
pub struct Trainer {
    resident: Resident,
    options: MimiOptions,
    train: Source,
    validation: Rows,
    programs: Option<Programs>,
}

/// What is compiled for a set of sites.
struct Programs {
    sites: SiteSet,
    stepper: Stepper,
    predictor: Predictor,
}

impl Trainer {
    /// Takes the images as they stand before some block at or below the lowest adapter.
    pub fn new(resident: &Resident, options: MimiOptions, train: Source, validation: Rows) -> Self {
        Self { resident: resident.clone(), options, train, validation, programs: None }
    }

    /// Runs one epoch; after the last of a training the model is pruned or done. Returns the model that a training
    /// left, when one ended.
    ///
    /// # Errors
    /// When a run fails or the loss is no longer finite.
    pub fn epoch(&mut self, state: &mut State, observe: &mut Observer<'_>) -> Result<Option<Model>> {
        self.prepare(&state.model)?;
        let Some(programs) = &mut self.programs else { bail!("there is no program to step with") };
        let trainings = expected(&self.options, state, &self.resident.config);
        let given = (&self.train, &self.options, trainings);
        let tally = steps(&mut programs.stepper, given, state, observe)?;
        let measure = programs.predictor.measure(&state.model, &self.validation)?;
        let count = self.train.classes().len() as f64;
        let seen = Measure { loss: tally.seen.loss / count, accuracy: tally.seen.right as f64 / count };
        let epoch = Epoch::new((state.cycle, state.epoch), (seen, measure), tally.rate());
        observe(Progress::Epoch(&epoch));
        state.epochs.push(epoch);
        state.epoch += 1;
        if state.epoch < self.options.epochs {
            return Ok(None);
        }
        let trained = state.model.clone();
        self.end_cycle(state, &tally.gradients, observe)?;
        Ok(Some(trained))
    }

    /// The held-out images, for whoever wants some of them.
    pub fn validation(&self) -> &Rows {
        &self.validation
    }

    /// Brings images and programs to the model's sites.
    fn prepare(&mut self, model: &Model) -> Result<()> {
        let sites = model.sites();
        if self.programs.as_ref().is_some_and(|ready| ready.sites == sites) {
            return Ok(());
        }
        let block = model.lowest_block(&self.resident.config).min(self.resident.config.depth() - 1);
        self.programs = None;
        if let Source::Kept(rows) = &mut self.train {
            advance(&self.resident, rows, block)?;
        }
        advance(&self.resident, &mut self.validation, block)?;
        let stepper = Stepper::new(&self.resident, self.train.block(), model, self.options.step)?;
        let predictor = Predictor::new(&self.resident, self.validation.block, sites)?;
        self.programs = Some(Programs { sites, stepper, predictor });
        Ok(())
    }

    /// Tells of the training that ended, then prunes or finishes.
    fn end_cycle(
        &mut self,
        state: &mut State,
        gradients: &Gradients,
        observe: &mut Observer<'_>,
    ) -> Result<()> {
        let cycle = self.describe(state)?;
        observe(Progress::Cycle(&cycle, &state.model));
        let total = state.original.values().sum();
        let last = survivors(total, self.options.rho, state.cycle + 1) == 0;
        let reached = match self.options.target {
            Target::Never => true,
            Target::Sigma(sigma) => cycle.sigma >= sigma * (1.0 - 1e-9),
            Target::Parameters(most) => cycle.adapter_parameters <= most,
            Target::Accuracy(least) => cycle.validation_accuracy < least,
        };
        if let Target::Accuracy(_) = self.options.target {
            match (reached, state.held.take()) {
                // This training fell below: the one before it is the answer.
                (true, Some(held)) => state.model = held,
                (true, None) => {}
                (false, _) => state.held = Some(state.model.clone()),
            }
        }
        state.cycles.push(cycle);
        if reached || last {
            state.finished = true;
        } else {
            self.prune(state, gradients);
        }
        Ok(())
    }

    fn prune(&self, state: &mut State, gradients: &Gradients) {
        let sites = state.model.adapters.keys().copied();
        let pairs = gradients.chunks(2).map(|pair| (pair[0].clone(), pair[pair.len() - 1].clone()));
        let gradients = sites.zip(pairs).collect();
        let mut random = chance(&self.options, state).pruning();
        let scores = scores(&state.model, self.options.score, &gradients, || random.random());
        state.cycle += 1;
        state.epoch = 0;
        let amount = (self.options.rho, state.cycle);
        state.model.keep(&select(&scores, self.options.selection, &state.original, amount));
    }

    fn describe(&self, state: &State) -> Result<Cycle> {
        let (config, model) = (&self.resident.config, &state.model);
        let widths = model.widths();
        let plan = Plan::whole(config, model.sites());
        let last = state.epochs.last();
        Ok(Cycle {
            cycle: state.cycle,
            sigma: state.sigma(config),
            neurons: model.neurons(),
            flops: plan_flops(config, &plan, |site| widths.get(&site).copied().unwrap_or(0))?,
            widths: widths.into_iter().map(|(site, width)| (site.to_string(), width)).collect(),
            adapter_parameters: model.adapter_parameters(),
            parameters: model.parameters(),
            loss: last.map_or(f64::NAN, |e| e.loss),
            train_accuracy: last.map_or(0.0, |e| e.accuracy),
            validation_accuracy: last.map_or(0.0, |e| e.validation_accuracy),
            validation_loss: last.map_or(f64::NAN, |e| e.validation_loss),
        })
    }
}

/// Trainings until the target is reached, if they prune as they are told to; none where the accuracy decides. Where
/// blocks differ in width, a target of parameters is taken to remove them evenly.
fn expected(options: &MimiOptions, state: &State, config: &BackboneConfig) -> Option<usize> {
    let neurons: usize = state.original.values().sum();
    let sum = |value: fn(usize, usize) -> usize| -> f64 {
        let sites = state.original.iter();
        sites.map(|(site, &width)| value(config.block_width(site.block), width)).sum::<usize>() as f64
    };
    let most = match options.target {
        Target::Never => return Some(1),
        Target::Accuracy(_) => return None,
        Target::Sigma(sigma) => sum(|d, _| d) / sigma * (1.0 + 1e-9),
        Target::Parameters(most) => most as f64 * neurons as f64 / sum(|d, r| 2 * d * r),
    };
    let left = |round| survivors(neurons, options.rho, round);
    let rounds = (0..).find(|&round| left(round) as f64 <= most || left(round + 1) == 0)?;
    Some(rounds + 1)
}

/// Takes rows to `block`, if they stand before an earlier one.
fn advance(resident: &Resident, rows: &mut Rows, block: usize) -> Result<()> {
    if rows.block < block {
        let blocks = BlockRange { start: rows.block, end: block };
        Prefix::new(resident, blocks)?.advance(rows)?;
    }
    Ok(())
}
