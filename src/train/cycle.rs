//! MiMi (Marouf et al. 2024, algorithm 1): train, score, prune, and again, ending on a training.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Result, ensure};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::init::{Init, uniform};
use super::model::{Adapter, Model, Parameter};
use super::predict::{Measure, Predictor};
use super::prefix::{Prefix, Rows};
use super::progress::{Cycle, Epoch, Progress, Step};
use super::prune::{Selection, select, survivors};
use super::resident::Resident;
use super::schedule::{Schedule, cosine_with_warmup};
use super::score::{Score, scores};
use super::step::{Gradients, Seen, StepOptions, Stepper};
use crate::backbone::{BackboneConfig, BlockRange, Site, SiteSet};
use crate::graph::{Plan, plan_flops};

/// Share of a training that warms up: 20 of 100 epochs (METHOD section 2).
const WARMUP: f64 = 0.2;
/// First rate of the warm-up over the highest: 5e-7 / 5e-4 (METHOD section 5).
const START: f64 = 1e-3;
/// Last rate over the highest: 5e-6 / 5e-4 (METHOD section 5).
const FLOOR: f64 = 1e-2;

/// When pruning ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// At once: adapters as they are, trained once.
    Never,
    /// When the mean rate `Σ M / Σ N` is at least this.
    Sigma(f64),
    /// When the adapters have at most this many parameters.
    Parameters(usize),
    /// Before the accuracy on held-out images falls below this, 0 to 1: the smallest adapters that hold it.
    Accuracy(f64),
}

/// How adapters are trained.
#[derive(Clone, Debug, PartialEq)]
pub struct MimiOptions {
    /// Rate of the first adapters, `M / N` (σ₀).
    pub sigma: f64,
    /// When pruning ends.
    pub target: Target,
    /// Share of the neurons a pruning removes (ρ).
    pub rho: f64,
    /// What neurons are kept by.
    pub score: Score,
    /// Among which neurons the weakest are sought.
    pub selection: Selection,
    /// How adapters begin.
    pub init: Init,
    /// First block with adapters; what comes before is computed once an image.
    pub first_block: usize,
    /// Epochs of each training.
    pub epochs: usize,
    /// Images in one step.
    pub batch: usize,
    /// Highest learning rate.
    pub rate: f64,
    /// Settings of a step.
    pub step: StepOptions,
    /// Seed of first values and orders.
    pub seed: u64,
}

impl Default for MimiOptions {
    /// ρ = 0.5, decay 0.05, clipping at 5, smoothing 0.1: METHOD sections 2 and 5. σ₀ = 8 is the least wide the
    /// paper's figures begin with. For small data on a CPU: 10 epochs instead of 100 and the rate 1e-3 of Adapter+
    /// (METHOD section 9), batches of 32.
    fn default() -> Self {
        Self {
            sigma: 8.0,
            target: Target::Sigma(64.0),
            rho: 0.5,
            score: Score::default(),
            selection: Selection::default(),
            init: Init::default(),
            first_block: 0,
            epochs: 10,
            batch: 32,
            rate: 1e-3,
            step: StepOptions { decay: 0.05, clip: 5.0, smoothing: 0.1, micro_batch: 8 },
            seed: 0,
        }
    }
}

impl MimiOptions {
    /// Checks that the numbers make sense on this backbone.
    ///
    /// # Errors
    /// When one does not, with its name.
    pub fn check(&self, config: &BackboneConfig) -> Result<()> {
        let depth = config.depth();
        let block = self.first_block;
        ensure!(block < depth, "the first block with adapters is {block}, the backbone has {depth} blocks");
        ensure!(self.sigma > 0.0 && self.sigma.is_finite(), "the first rate is {}", self.sigma);
        ensure!(self.rho > 0.0 && self.rho < 1.0, "rho is {}, expected a share between 0 and 1", self.rho);
        ensure!(self.epochs > 0 && self.batch > 0, "epochs and batch must be at least 1");
        Ok(())
    }
}

/// Where a training stands, between two epochs.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// Trainings ended.
    pub cycle: usize,
    /// Epochs of the running training ended.
    pub epoch: usize,
    /// What is trained.
    pub model: Model,
    /// The last model that held the accuracy, where that is the target.
    pub held: Option<Model>,
    /// Widths before the first pruning.
    pub original: BTreeMap<Site, usize>,
    /// Epochs so far.
    pub epochs: Vec<Epoch>,
    /// Trainings so far.
    pub cycles: Vec<Cycle>,
    /// Whether nothing is left to do.
    pub finished: bool,
}

impl State {
    /// Fresh adapters of width `M / σ₀`, at least 1, at both sites of every block from the first on, and a fresh
    /// head as `torch.nn.Linear` begins.
    pub fn new(config: &BackboneConfig, classes: usize, options: &MimiOptions) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(options.seed);
        let blocks = BlockRange { start: options.first_block, end: config.depth() };
        let mut adapters = BTreeMap::new();
        for site in SiteSet::all(blocks).iter() {
            let d = config.block_width(site.block);
            let r = ((d as f64 / options.sigma) as usize).max(1);
            let down = Parameter::new(vec![d, r], options.init.draw(&mut random, d * r, d));
            let up = Parameter::new(vec![r, d], options.init.draw(&mut random, r * d, r));
            adapters.insert(site, Adapter { down, up });
        }
        let width = config.feature_width();
        let weight = uniform(&mut random, width * classes, width);
        let head_weight = Parameter::new(vec![width, classes], weight);
        let head_bias = Parameter::new(vec![classes], uniform(&mut random, classes, width));
        let model = Model { adapters, head_weight, head_bias };
        let original = model.widths();
        let (epochs, cycles) = (Vec::new(), Vec::new());
        Self { cycle: 0, epoch: 0, model, held: None, original, epochs, cycles, finished: false }
    }

    /// `Σ M / Σ N` over the sites there were at first; infinite without a neuron.
    pub fn sigma(&self, config: &BackboneConfig) -> f64 {
        let widths: usize = self.original.keys().map(|site| config.block_width(site.block)).sum();
        widths as f64 / self.model.neurons() as f64
    }
}

/// Hears how a training goes.
pub type Observer<'a> = dyn FnMut(Progress<'_>) + 'a;

/// Trains from one state to the next.
pub struct Trainer {
    resident: Resident,
    options: MimiOptions,
    train: Rows,
    validation: Rows,
    programs: Option<(SiteSet, Stepper, Predictor)>,
}

impl Trainer {
    /// Takes the images as they stand before some block at or below the lowest adapter.
    pub fn new(resident: &Resident, options: MimiOptions, train: Rows, validation: Rows) -> Self {
        Self { resident: resident.clone(), options, train, validation, programs: None }
    }

    /// Runs one epoch; after the last of a training the model is pruned or done. Returns the model that a training
    /// left, when one ended.
    ///
    /// # Errors
    /// When a run fails or the loss is no longer finite.
    pub fn epoch(&mut self, state: &mut State, observe: &mut Observer<'_>) -> Result<Option<Model>> {
        self.prepare(&state.model)?;
        let (seen, rate, gradients) = self.steps(state, observe)?;
        let measure = self.measure(&state.model)?;
        let count = self.train.len() as f64;
        let epoch = Epoch {
            cycle: state.cycle,
            epoch: state.epoch,
            loss: seen.loss / count,
            accuracy: seen.right as f64 / count,
            validation_accuracy: measure.accuracy,
            validation_loss: measure.loss,
            rate,
        };
        observe(Progress::Epoch(&epoch));
        state.epochs.push(epoch);
        state.epoch += 1;
        if state.epoch < self.options.epochs {
            return Ok(None);
        }
        let trained = state.model.clone();
        self.end_cycle(state, &gradients, observe)?;
        Ok(Some(trained))
    }

    /// The images, for whoever wants some of them.
    pub fn rows(&self) -> (&Rows, &Rows) {
        (&self.train, &self.validation)
    }

    /// Brings images and programs to the model's sites.
    fn prepare(&mut self, model: &Model) -> Result<()> {
        let sites = model.sites();
        if self.programs.as_ref().is_some_and(|(ready, ..)| *ready == sites) {
            return Ok(());
        }
        let block = model.lowest_block(&self.resident.config).min(self.resident.config.depth() - 1);
        self.programs = None;
        if block > self.train.block {
            let blocks = BlockRange { start: self.train.block, end: block };
            let mut prefix = Prefix::new(&self.resident, blocks)?;
            self.train = prefix.advance(&self.train)?;
            self.validation = prefix.advance(&self.validation)?;
        }
        let stepper = Stepper::new(&self.resident, self.train.block, model, self.options.step)?;
        let predictor = Predictor::new(&self.resident, self.train.block, sites)?;
        self.programs = Some((sites, stepper, predictor));
        Ok(())
    }

    /// The steps of one epoch: sums of losses and of right answers, images a second, sums of gradients.
    fn steps(&mut self, state: &mut State, observe: &mut Observer<'_>) -> Result<(Seen, f64, Gradients)> {
        let (started, count) = (Instant::now(), self.train.len());
        let order = self.order(state);
        let schedule = self.schedule(count);
        let mut sum = Seen::default();
        let mut gradients: Gradients = Vec::new();
        let mut done = 0;
        for (i, batch) in order.chunks(self.options.batch).enumerate() {
            let step = state.epoch * count.div_ceil(self.options.batch) + i;
            let rate = cosine_with_warmup(&schedule, step);
            let Some((_, stepper, _)) = &mut self.programs else { break };
            let (seen, found) = stepper.step(&mut state.model, (&self.train, batch), rate)?;
            sum.loss += seen.loss * batch.len() as f64;
            sum.right += seen.right;
            add(&mut gradients, found);
            done += batch.len();
            let (cycle, epoch) = (state.cycle, state.epoch);
            let rate = done as f64 / started.elapsed().as_secs_f64();
            let loss = sum.loss / done as f64;
            observe(Progress::Step(&Step { cycle, epoch, done, count, loss, rate }));
        }
        Ok((sum, done as f64 / started.elapsed().as_secs_f64(), gradients))
    }

    fn order(&self, state: &State) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.train.len()).collect();
        order.shuffle(&mut self.random(state));
        order
    }

    /// Chance of one epoch, the same whether or not the training was interrupted before it.
    fn random(&self, state: &State) -> ChaCha8Rng {
        let mut random = ChaCha8Rng::seed_from_u64(self.options.seed);
        // Stream 0 drew the first values.
        random.set_stream((state.cycle * self.options.epochs + state.epoch + 1) as u64);
        random
    }

    /// The schedule of one training; each begins it anew (METHOD section 4).
    fn schedule(&self, count: usize) -> Schedule {
        let total = count.div_ceil(self.options.batch) * self.options.epochs;
        let base = self.options.rate;
        let warmup = (total as f64 * WARMUP) as usize;
        Schedule { start: base * START, base, floor: base * FLOOR, warmup, total }
    }

    fn measure(&mut self, model: &Model) -> Result<Measure> {
        match &mut self.programs {
            Some((_, _, predictor)) => predictor.measure(model, &self.validation),
            None => Ok(Measure::default()),
        }
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
        let mut random = self.random(state);
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

fn add(sums: &mut Gradients, gradients: Gradients) {
    if sums.is_empty() {
        *sums = gradients;
        return;
    }
    for (sum, gradient) in sums.iter_mut().zip(gradients) {
        sum.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g);
    }
}
