//! The steps of one epoch.

use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Instant;

use anyhow::Result;
use rand::seq::SliceRandom;

use super::model::Model;
use super::options::MimiOptions;
use super::progress::{Observer, Progress, Step};
use super::schedule::{Schedule, cosine_with_warmup};
use super::source::{Chance, Source, TargetOptions};
use super::state::State;
use super::step::{Gradients, Seen, Stepper};

/// Share of a training that warms up: 20 of 100 epochs (METHOD section 2).
const WARMUP: f64 = 0.2;
/// First rate of the warm-up over the highest: 5e-7 / 5e-4 (METHOD section 5).
const START: f64 = 1e-3;
/// Last rate over the highest: 5e-6 / 5e-4 (METHOD section 5).
const FLOOR: f64 = 1e-2;
/// Batches made ahead of the step that takes them.
pub(super) const AHEAD: usize = 2;

/// Makes every step of the state's epoch. Batches are made ahead by a thread of their own.
///
/// # Errors
/// When a run fails, an image can no longer be read, or the loss is no longer finite.
pub(super) fn steps(
    stepper: &mut Stepper,
    (source, options, trainings): (&Source, &MimiOptions, Option<usize>),
    state: &mut State,
    observe: &mut Observer<'_>,
) -> Result<Tally> {
    let (count, size) = (source.classes().len(), options.batch);
    let (chance, schedule) = (chance(options, state), schedule(options, count));
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut chance.whole());
    let classes = state.model.head_bias.values.len();
    let targets = TargetOptions { classes, smoothing: options.smoothing };
    let mut tally = Tally::new((state.cycle, state.epoch), (options.epochs, trainings), count);
    let first = state.epoch * count.div_ceil(size);
    let model: &mut Model = &mut state.model;
    thread::scope(|scope| -> Result<()> {
        let (sender, batches) = sync_channel(AHEAD);
        let order = &order;
        scope.spawn(move || {
            for (number, indices) in order.chunks(size).enumerate() {
                // Nobody listens when a step has failed.
                if sender.send(source.batch((indices, number), targets, chance)).is_err() {
                    break;
                }
            }
        });
        for (number, batch) in batches.iter().enumerate() {
            let batch = batch?;
            let rate = cosine_with_warmup(&schedule, first + number);
            let made = stepper.step(model, &batch, rate)?;
            observe(Progress::Step(&tally.add(made, batch.classes.len())));
        }
        Ok(())
    })?;
    Ok(tally)
}

/// Chance of the state's epoch, the same whether or not the training was interrupted before it.
pub(super) fn chance(options: &MimiOptions, state: &State) -> Chance {
    Chance { seed: options.seed, epoch: (state.cycle * options.epochs + state.epoch) as u64 }
}

/// The schedule of one training; each begins it anew (METHOD section 4).
fn schedule(options: &MimiOptions, count: usize) -> Schedule {
    let total = count.div_ceil(options.batch) * options.epochs;
    let (base, warmup) = (options.rate, (total as f64 * WARMUP) as usize);
    Schedule { start: base * START, base, floor: base * FLOOR, warmup, total }
}

/// Sums over an epoch.
pub(super) struct Tally {
    place: (usize, usize),
    of: (usize, Option<usize>),
    count: usize,
    started: Instant,
    done: usize,
    /// Sums of losses and of right answers.
    pub seen: Seen,
    /// Sums of gradients.
    pub gradients: Gradients,
}

impl Tally {
    /// Of an epoch: its cycle and number; epochs of a cycle and cycles; images.
    fn new(place: (usize, usize), of: (usize, Option<usize>), count: usize) -> Self {
        let (seen, gradients) = (Seen::default(), Gradients::new());
        Self { place, of, count, started: Instant::now(), done: 0, seen, gradients }
    }

    fn add(&mut self, (seen, gradients): (Seen, Gradients), rows: usize) -> Step {
        self.seen.loss += seen.loss * rows as f64;
        self.seen.right += seen.right;
        self.done += rows;
        if self.gradients.is_empty() {
            self.gradients = gradients;
        } else {
            for (sum, gradient) in self.gradients.iter_mut().zip(gradients) {
                sum.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g);
            }
        }
        let ((cycle, epoch), (epochs, trainings), done) = (self.place, self.of, self.done);
        let (loss, accuracy) = (self.seen.loss / done as f64, self.seen.right as f64 / done as f64);
        Step { cycle, epoch, epochs, trainings, done, count: self.count, loss, accuracy, rate: self.rate() }
    }

    /// Images a second.
    pub fn rate(&self) -> f64 {
        self.done as f64 / self.started.elapsed().as_secs_f64()
    }
}
