//! The steps of one epoch.

use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Instant;

use anyhow::Result;
use rand::seq::SliceRandom;

use super::gradients::Gradients;
use super::learner::Learner;
use super::recipe::Recipe;
use super::schedule::{Schedule, cosine_with_warmup};
use super::step::{Seen, Stepped};
use super::steps::{Learning, Steps};
use crate::train::data::chance::Chance;
use crate::train::data::minibatch::{Draw, TargetOptions};
use crate::train::data::source::Source;
use crate::train::history::Place;
use crate::train::measure::predict::Measure;
use crate::train::measure::scorer::Scorer;
use crate::train::model::Model;
use crate::train::progress::{Observer, Progress, Step};

/// Minibatches made ahead of the step that takes them.
pub const AHEAD: usize = 2;

/// One epoch of a training.
#[derive(Clone, Copy)]
pub struct Pass<'a> {
    /// The images.
    pub source: &'a Source,
    /// How they are trained on.
    pub recipe: &'a Recipe,
    /// Which epoch it is.
    pub place: Place,
    /// Trainings in all, where that is known.
    pub trainings: Option<usize>,
}

impl Pass<'_> {
    /// Steps of one epoch.
    pub fn steps(&self) -> usize {
        self.source.classes().len().div_ceil(self.recipe.batch)
    }

    /// The schedule of one training; every training restarts it (docs/method.md section 4).
    fn schedule(&self) -> Schedule {
        self.recipe.shape.over(self.steps() * self.recipe.epochs, self.recipe.rate)
    }

    /// Makes every step of a model. A thread of its own makes minibatches ahead.
    ///
    /// # Errors
    /// As [`Pass::teach`].
    pub fn run(&self, steps: &mut Steps, model: &mut Model, observe: &mut Observer<'_>) -> Result<Tally> {
        match steps {
            Steps::Host(stepper) => self.teach(&mut Learning { stepper, model }, observe),
            Steps::Device(stepper) => {
                let mut learning = stepper.learn(model)?;
                let mut tally = self.teach(&mut learning, observe)?;
                tally.gradients = learning.finish()?;
                Ok(tally)
            }
        }
    }

    /// Makes every step of a learner. A thread of its own makes minibatches ahead.
    ///
    /// # Errors
    /// When a run fails, an image can no longer be read, or the loss is no longer finite.
    pub fn teach(&self, learner: &mut dyn Learner, observe: &mut Observer<'_>) -> Result<Tally> {
        let (chance, schedule) = (self.recipe.chance(self.place), self.schedule());
        let order = order(self.source.classes().len(), chance);
        let targets = TargetOptions { classes: learner.classes()?, smoothing: self.recipe.smoothing };
        let mut tally = Tally::new(self);
        let first = self.place.epoch * self.steps();
        thread::scope(|scope| -> Result<()> {
            let (sender, batches) = sync_channel(AHEAD);
            let order = &order;
            scope.spawn(move || {
                for (number, indices) in order.chunks(self.recipe.batch).enumerate() {
                    let draw = Draw { indices, number, chance };
                    // Nobody listens when a step has failed.
                    if sender.send(self.source.batch(&draw, targets)).is_err() {
                        break;
                    }
                }
            });
            for (number, batch) in batches.iter().enumerate() {
                let batch = batch?;
                let rate = cosine_with_warmup(&schedule, first + number);
                let stepped = learner.step(&batch, (rate, &mut chance.paths(number)))?;
                observe(Progress::Step(&tally.add(stepped, &batch.classes)?));
            }
            Ok(())
        })?;
        Ok(tally)
    }
}

/// The order of `count` images in an epoch.
pub fn order(count: usize, chance: Chance) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut chance.whole());
    order
}

/// Sums over an epoch.
pub struct Tally {
    /// Where the training stands; kept up to date.
    step: Step,
    started: Instant,
    /// Sums of losses and of right answers.
    seen: Seen,
    /// All answers, where they are no classes.
    scorer: Scorer,
    /// Sums of gradients.
    pub gradients: Gradients,
}

impl Tally {
    fn new(pass: &Pass<'_>) -> Self {
        let step = Step {
            cycle: pass.place.cycle,
            epoch: pass.place.epoch,
            epochs: pass.recipe.epochs,
            trainings: pass.trainings,
            count: pass.source.classes().len(),
            ..Step::default()
        };
        let scorer = Scorer::new(pass.source.truths());
        let (seen, gradients) = (Seen::default(), Gradients::default());
        Self { step, started: Instant::now(), seen, scorer, gradients }
    }

    fn add(&mut self, stepped: Stepped, classes: &[usize]) -> Result<Step> {
        let Stepped { seen, gradients } = stepped;
        let rows = classes.len();
        self.seen.loss += seen.loss * rows as f64;
        self.seen.right += seen.right;
        if self.gradients.is_empty() {
            self.gradients = gradients;
        } else {
            self.gradients.add_all(&gradients)?;
        }
        self.step.done += rows;
        let done = self.step.done as f64;
        self.step.loss = self.seen.loss / done;
        self.step.accuracy = match seen.outputs.is_empty() {
            true => self.seen.right as f64 / done,
            false => self.score(classes, &seen.outputs),
        };
        self.step.rate = self.rate();
        Ok(self.step)
    }

    /// Adds answers that are no classes, and scores this minibatch: of all so far it would take ever longer.
    fn score(&mut self, classes: &[usize], outputs: &[f32]) -> f64 {
        let mut scorer = Scorer::new(self.scorer.truths());
        let rows = outputs.chunks(outputs.len() / classes.len().max(1));
        classes.iter().zip(rows).for_each(|(&class, row)| scorer.add(class, row));
        let score = scorer.score();
        self.scorer.join(scorer);
        score
    }

    /// Mean loss and score while the model changed.
    pub fn measure(&self) -> Measure {
        let count = self.step.count as f64;
        let accuracy = match self.scorer.count() {
            0 => self.seen.right as f64 / count,
            _ => self.scorer.score(),
        };
        Measure { loss: self.seen.loss / count, accuracy }
    }

    /// Images a second.
    pub fn rate(&self) -> f64 {
        self.step.done as f64 / self.started.elapsed().as_secs_f64()
    }
}
