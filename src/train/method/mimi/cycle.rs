//! MiMi (Marouf et al. 2024, algorithm 1): train, score, prune, and again, ending on a training.

use anyhow::{Result, bail};
use rand::RngExt;

use super::activity::{Activity, Observatory};
use super::front::behind;
use super::gates::Gating;
use super::options::{MimiOptions, Target};
use super::prune::{Pruning, select, survivors};
use super::score::{Evidence, scores};
use super::start;
use super::state::State;
use crate::adaptation::Kind;
use crate::backbone::{BlockRange, ModuleSet};
use crate::graph::{Express, Gated, Plan, Trained, module_flops, plan_flops};
use crate::train::data::load::Loaded;
use crate::train::data::prefix::Prefix;
use crate::train::data::rows::Rows;
use crate::train::data::source::Source;
use crate::train::expression::Expression;
use crate::train::history::{Cycle, Epoch, Place};
use crate::train::measure::predict::Predictor;
use crate::train::model::Model;
use crate::train::optim::around::Around;
use crate::train::optim::device_step::DeviceStepper;
use crate::train::optim::epoch::{Pass, Tally};
use crate::train::optim::recipe::Recipe;
use crate::train::optim::step::Stepper;
use crate::train::optim::steps::Steps;
use crate::train::progress::{Observer, Progress};
use crate::train::setup::Setup;

/// Trains from one state to the next.
pub struct Trainer<'a> {
    setup: &'a Setup,
    options: &'a MimiOptions,
    recipe: Recipe,
    kind: Kind,
    images: Loaded,
    /// FLOPs of one image without adapters.
    bare: u64,
    /// What gates cost, where neurons have some.
    gating: Option<Gating>,
    programs: Option<Programs>,
}

/// What is compiled for a set of modules.
struct Programs {
    modules: ModuleSet,
    is_gated: bool,
    steps: Steps,
    expression: Expression,
    predictor: Predictor,
}

impl<'a> Trainer<'a> {
    /// Takes images as inputs of a block at or below the lowest adapter. Runs at most `micro_batch` of them together.
    ///
    /// # Errors
    /// When the backbone's configuration contradicts itself, or gates do not fit the options.
    pub fn new(
        setup: &'a Setup,
        options: &'a MimiOptions,
        images: Loaded,
        micro_batch: usize,
    ) -> Result<Self> {
        let config = setup.resident.config();
        let bare = plan_flops(config, &Plan::whole(config, ModuleSet::EMPTY), |_| 0)?;
        let (recipe, kind) = (options.recipe(micro_batch), options.kind(config));
        let steps = images.train.classes().len().div_ceil(recipe.batch);
        let gating = Gating::new(options, config, steps)?;
        Ok(Self { setup, options, recipe, kind, images, bare, gating, programs: None })
    }

    /// Runs one epoch; after the last of a training the model is pruned or done. Returns the model that a training
    /// left, when one ended.
    ///
    /// # Errors
    /// When a run fails or the loss is no longer finite.
    pub fn epoch(&mut self, state: &mut State, observe: &mut Observer<'_>) -> Result<Option<Model>> {
        self.begin(state)?;
        self.prepare(state)?;
        let (tally, place) = (self.learn(state, observe)?, state.place);
        let Some(programs) = &mut self.programs else { bail!("no program was compiled") };
        let served = programs.expression.served(&state.model.folded().kept_at(self.options.bits))?;
        let measure = programs.predictor.measure(&served, &self.images.held_out)?;
        let epoch = Epoch::new(place, tally.measure(), measure, tally.rate());
        observe(Progress::Epoch(&epoch));
        state.history.epochs.push(epoch);
        state.place.epoch += 1;
        if let Some(gating) = self.gating.as_ref().filter(|gating| gating.freezes_after(state.place.epoch)) {
            state.model = gating.frozen(&state.model)?;
        }
        if state.place.epoch < self.options.epochs {
            return Ok(None);
        }
        self.end_cycle(state, &tally, observe)?;
        Ok(Some(served))
    }

    /// Makes the steps of an epoch.
    fn learn(&mut self, state: &mut State, observe: &mut Observer<'_>) -> Result<Tally> {
        let trainings = self.options.trainings(&state.original, self.setup.resident.config());
        let (source, recipe, place) = (&self.images.train, &self.recipe, state.place);
        let pass = Pass { source, recipe, place, trainings };
        let Some(Programs { steps, .. }) = &mut self.programs else { bail!("no program was compiled") };
        pass.run(steps, &mut state.model, observe)
    }

    /// A model as it is served.
    ///
    /// # Errors
    /// When a program cannot be compiled or run.
    pub fn served(&self, model: &Model) -> Result<Model> {
        let kept = model.kept_at(self.options.bits);
        Expression::new(&self.setup.resident, model.modules(), &self.kind)?.served(&kept)
    }

    /// The held-out images.
    pub fn held_out(&self) -> &Rows {
        &self.images.held_out
    }

    /// The held-out images, at the end.
    pub fn into_held_out(self) -> Rows {
        self.images.held_out
    }

    /// Prunes a state before its first epoch, where the score says so.
    fn begin(&self, state: &mut State) -> Result<()> {
        if !state.history.epochs.is_empty() {
            return Ok(());
        }
        start::prune(&self.setup.resident, (self.options, &self.recipe), &self.images.train, state)
    }

    /// Brings images and programs to the model's modules.
    fn prepare(&mut self, state: &State) -> Result<()> {
        let model = &state.model;
        let (modules, is_gated) = (model.modules(), model.is_gated());
        let is_same = |ready: &Programs| ready.modules == modules && ready.is_gated == is_gated;
        let around = self.around(state);
        if self.programs.as_ref().is_some_and(|ready| is_same(ready) && ready.steps.fit(model, &around)) {
            return Ok(());
        }
        let resident = &self.setup.resident;
        let block = model.lowest_block(resident.config()).min(resident.config().depth() - 1);
        let others = self.programs.take().filter(is_same);
        if let Source::Kept(rows) = &mut self.images.train {
            advance(self.setup, rows, block)?;
        }
        advance(self.setup, &mut self.images.held_out, block)?;
        let (train, bound) = (&self.images.train, self.kind.on(resident.config()));
        let gated = Gated(&bound);
        let express: &dyn Express = if is_gated { &gated } else { &bound };
        let trained = self.options.trained(express, train.truths().loss());
        let steps = self.steps(model, trained, around)?;
        // The others fit any widths.
        if let Some(others) = others {
            self.programs = Some(Programs { steps, ..others });
            return Ok(());
        }
        let expression = Expression::new(resident, modules, &self.kind)?;
        let predictor = Predictor::new(resident, self.images.held_out.block, modules)?;
        self.programs = Some(Programs { modules, is_gated, steps, expression, predictor });
        Ok(())
    }

    /// What is done to the model's parameters around a step.
    fn around(&self, state: &State) -> Around {
        let gating = self.gating.as_ref().filter(|_| state.model.is_gated());
        let proximal = gating.map(|gating| gating.proximal().clone());
        Around { masks: state.masks.clone(), bits: self.options.bits, proximal }
    }

    /// Steps of the model, where its state lies.
    fn steps(&self, model: &Model, trained: Trained<'_>, around: Around) -> Result<Steps> {
        let (resident, block) = (&self.setup.resident, self.images.train.block());
        let step = self.recipe.step;
        if self.setup.stays_on_device {
            let stepper = DeviceStepper::new(resident, (block, model), trained, step, around)?;
            return Ok(Steps::Device(Box::new(stepper)));
        }
        let stepper = Stepper::new(resident, block, model, trained, step)?;
        Ok(Steps::Host(Box::new(stepper.with(around))))
    }

    /// Tells of the training that ended, then prunes or finishes.
    fn end_cycle(&self, state: &mut State, tally: &Tally, observe: &mut Observer<'_>) -> Result<()> {
        let cycle = self.describe(state)?;
        observe(Progress::Cycle(&cycle));
        let total = state.original.values().sum();
        let last = survivors(total, self.options.rho, state.place.cycle + 1) == 0;
        let reached = match self.options.target {
            _ if self.options.trains_once() => true,
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
        state.history.cycles.push(cycle);
        if reached || last {
            state.finished = true;
            return Ok(());
        }
        self.prune(state, tally)
    }

    fn prune(&self, state: &mut State, tally: &Tally) -> Result<()> {
        let mut random = self.recipe.chance(state.place).pruning();
        let score = self.options.score;
        // What is served decides what neurons do. Not their magnitude: at one bit all weights of a matrix have the same.
        let served = || self.activity(&state.model.kept_at(self.options.bits), state.place);
        let activity = score.needs_activity().then(served).transpose()?;
        let evidence = Evidence { gradients: &tally.gradients, activity: activity.as_ref() };
        let scores = scores(&state.model, score, evidence, || random.random())?;
        state.place.cycle += 1;
        state.place.epoch = 0;
        let pruning = Pruning { rho: self.options.rho, round: state.place.cycle };
        let left = survivors(state.original.values().sum(), pruning.rho, pruning.round);
        let scores = self.options.front.map(|share| behind(&scores, share, left)).unwrap_or(scores);
        state.model.keep(&select(&scores, self.options.selection, &state.original, pruning));
        Ok(())
    }

    /// What the neurons do on the training images.
    fn activity(&self, model: &Model, place: Place) -> Result<Activity> {
        let (resident, source) = (&self.setup.resident, &self.images.train);
        let chance = self.recipe.chance(place);
        let batch = self.recipe.step.micro_batch;
        Observatory::new(resident, source.block(), model, &self.kind)?.watch(source, model, (batch, chance))
    }

    fn describe(&self, state: &State) -> Result<Cycle> {
        let (config, model) = (self.setup.resident.config(), &state.model);
        let widths = model.widths();
        let added: Result<u64, _> =
            widths.iter().map(|(&module, &width)| module_flops(config, module, width)).sum();
        let last = state.history.epochs.last();
        Ok(Cycle {
            cycle: state.place.cycle,
            sigma: state.sigma(config),
            neurons: model.neurons(),
            flops: self.bare + added?,
            widths: widths.into_iter().map(|(module, width)| (module.site.to_string(), width)).collect(),
            adapter_parameters: state.module_parameters(),
            parameters: model.parameters.count() - state.masks.removed(),
            loss: last.map_or(f64::NAN, |e| e.loss),
            train_accuracy: last.map_or(0.0, |e| e.accuracy),
            validation_accuracy: last.map_or(0.0, |e| e.validation_accuracy),
            validation_loss: last.map_or(f64::NAN, |e| e.validation_loss),
        })
    }
}

/// Runs rows forward to the input of `block`, unless they are there already.
fn advance(setup: &Setup, rows: &mut Rows, block: usize) -> Result<()> {
    if rows.block < block {
        let blocks = BlockRange { start: rows.block, end: block };
        Prefix::new(setup, blocks)?.advance(rows)?;
    }
    Ok(())
}
