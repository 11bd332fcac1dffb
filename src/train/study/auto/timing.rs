//! How long things take: measured where they were done, guessed where not.

use anyhow::Result;

use super::asked::{Candidate, Limit};
use super::field::forget;
use super::plan::{Guess, Pace, Terms};
use super::search::{Search, Sizes};
use super::state::Measured;
use crate::train::data::intake::Intake;
use crate::train::progress::{Observer, Progress};

/// Steps of a whole training, in whole epochs: those of the studies.
const STEPS: usize = 1024;
/// Most epochs of one: those of the recipes.
const MOST_EPOCHS: usize = 100;
/// Share of the time that plans use; the rest is for what nobody foresees.
const PLANNED: f64 = 0.95;
/// What a first guess of an epoch's time is multiplied by: one candidate was timed for all.
const SLACK: f64 = 1.2;
/// Measuring a held-out image in training images: no gradient is taken.
const ANSWER: f64 = 0.4;
/// Seconds to write a pack and its reports.
const WRITING: f64 = 3.0;

impl Search<'_> {
    /// Seconds of an epoch and of a run, by the first candidate that can be trained.
    ///
    /// # Errors
    /// When the state of a training cannot be removed.
    pub fn guess(&self, left: &[&Candidate], observe: &mut Observer<'_>) -> Result<Guess> {
        let checkpoint = self.checkpoint("timed");
        for candidate in left {
            match self.field.time(&candidate.method.clone().lasting(1), &checkpoint, observe) {
                Ok(Guess { epoch, run }) => return Ok(Guess { epoch: SLACK * epoch, run: SLACK * run }),
                // Its own training fails too, and is recorded.
                Err(error) => {
                    observe(Progress::Note(&format!("{} cannot be timed: {error:#}", candidate.name)))
                }
            }
            forget(&checkpoint)?;
        }
        Ok(Guess::default())
    }

    /// Epochs of a whole training.
    pub fn longest(&self, left: &[&Candidate]) -> usize {
        let batch = left.first().map_or(1, |candidate| candidate.method.batch());
        let steps = self.sizes.all.div_ceil(batch.max(1)).max(1);
        ((STEPS as f64 / steps as f64).round() as usize).clamp(1, MOST_EPOCHS)
    }

    /// What a plan for some candidates depends on; `guess` is an epoch and a run of those that were never trained.
    ///
    /// # Errors
    /// When a candidate cannot say how often it trains.
    pub fn terms(&self, left: &[&Candidate], guess: Guess) -> Result<Terms> {
        let own: Vec<Intake> = left.iter().map(|candidate| self.intake(candidate)).collect();
        let mut intakes: Vec<Intake> = Vec::new();
        own.iter().for_each(|intake| {
            if !intakes.contains(intake) {
                intakes.push(*intake);
            }
        });
        let place = |intake: &Intake| intakes.iter().position(|known| known == intake).unwrap_or_default();
        let pace = |(candidate, intake): (&&Candidate, &Intake)| self.pace(candidate, place(intake), guess);
        let Sizes { all, held_out, .. } = self.sizes;
        let part = self.field.trained().max(1) as f64;
        let load = |intake: &Intake| if self.field.holds(intake) { 0.0 } else { self.load(intake, part) };
        Ok(Terms {
            left: self.left(),
            paces: left.iter().zip(&own).map(pace).collect::<Result<_>>()?,
            loads: intakes.iter().map(load).collect(),
            again: intakes.iter().map(|intake| self.load(intake, all as f64)).collect(),
            ratio: (all as f64 + ANSWER * held_out as f64) / part,
            finish: self.finish(part),
            longest: self.longest(left),
        })
    }

    /// Seconds of what follows the winner's own training. Held-out images are measured for the pack and its report, test
    /// images once more than they; both again by the head alone, which is trained on all images for that.
    fn finish(&self, part: f64) -> f64 {
        let Sizes { all, held_out, test } = self.sizes;
        let heads = self.state.records().iter().filter(|record| record.rung == 0);
        let seconds = heads.filter_map(|record| record.result.as_ref().ok()).map(|found| found.train_seconds);
        let fit = seconds.fold(0.0, f64::max) * all as f64 / part;
        let images = 2.0 * held_out as f64 + 3.0 * test as f64 + (all as f64 - part).max(0.0);
        self.frozen * images + fit + WRITING
    }

    /// Seconds that are left of those that plans use.
    fn left(&self) -> f64 {
        match self.options.limit {
            Limit::Seconds(seconds) => PLANNED * seconds - self.clock.spent(),
            Limit::Epochs(_) => f64::INFINITY,
        }
    }

    /// How fast a candidate trains: as its last training did, or as was guessed.
    fn pace(&self, candidate: &Candidate, intake: usize, guess: Guess) -> Result<Pace> {
        let trainings = candidate.method.trainings(self.config())?;
        let own = self.state.records().iter().rev().filter(|record| record.name == candidate.name);
        let mut known = own.filter_map(|record| record.result.as_ref().ok());
        let last = known.find(|found| found.epoch_seconds > 0.0);
        let timed = |found: &Measured| Guess { epoch: found.epoch_seconds, run: found.run_seconds };
        let Guess { epoch, run } = last.map(timed).unwrap_or_else(|| match guess.epoch > 0.0 {
            true => guess,
            // It was resumed after its last step, so nobody timed it.
            false => self.slowest(),
        });
        Ok(Pace { intake, epoch, run, trainings })
    }

    /// The slowest training of any candidate.
    fn slowest(&self) -> Guess {
        let all = self.state.records().iter().filter_map(|record| record.result.as_ref().ok());
        all.fold(Guess::default(), |most, found| Guess {
            epoch: most.epoch.max(found.epoch_seconds),
            run: most.run.max(found.run_seconds),
        })
    }

    /// Seconds to prepare images.
    fn load(&self, intake: &Intake, images: f64) -> f64 {
        let share = intake.block as f64 / self.config().depth() as f64;
        images * self.frozen * share * intake.augment.variants.max(1) as f64
    }

    /// How a candidate takes images in.
    pub fn intake(&self, candidate: &Candidate) -> Intake {
        candidate.method.clone().seeded(self.options.seed).get().intake(self.config())
    }

    /// Whether the time left would do for half of the winner's own training only.
    ///
    /// # Errors
    /// When a candidate cannot say how often it trains.
    pub fn is_late(&self, left: &[&Candidate], refit: usize) -> Result<bool> {
        if matches!(self.options.limit, Limit::Epochs(_)) {
            return Ok(false);
        }
        let terms = self.terms(left, Guess::default())?;
        Ok(terms.left < terms.refit_seconds(&terms.paces, refit.div_ceil(2)))
    }
}
