//! A fine-tuning from first to last step.

use anyhow::Result;

use super::device_tuner::DeviceTuner;
use super::memory::{At, Fit};
use super::options::FinetuneOptions;
use super::tuned::Tuned;
use super::tuner::{Reader, StepInput, Tuner};
use crate::backbone::ModuleSet;
use crate::graph::{Plan, plan_flops};
use crate::train::data::rows::Rows;
use crate::train::data::source::Source;
use crate::train::history::Place;
use crate::train::measure::scorer::Measure;
use crate::train::optim::epoch::{Pass, Tally};
use crate::train::progress::{Observer, Progress};
use crate::train::setup::Setup;

/// What a fine-tuning gave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finetuned {
    /// Passes over the images.
    pub epochs: usize,
    /// Numbers trained, without the head.
    pub parameters: usize,
    /// FLOPs of one image: those of the backbone.
    pub flops: u64,
    /// Loss and score on the training images in the last epoch.
    pub seen: Measure,
    /// Loss and score on held-out images.
    pub held_out: Measure,
    /// Their accuracy as a mean over classes, 0 to 1.
    pub macro_accuracy: f64,
}

/// What is trained and measured on; both are inputs of a block up to the first that is trained.
#[derive(Clone, Copy)]
pub struct Images<'a> {
    /// Classes, or outputs.
    pub classes: usize,
    /// Training images.
    pub source: &'a Source,
    /// Held-out images.
    pub held_out: &'a Rows,
}

/// Steps, wherever their state lies.
enum Tuning {
    Host(Box<Tuner>),
    Device(Box<DeviceTuner>),
}

impl Tuning {
    fn new(setup: &Setup, tuned: Tuned, options: &FinetuneOptions, at: StepInput) -> Result<Self> {
        let resident = &setup.resident;
        Ok(match setup.stays_on_device {
            true => Self::Device(Box::new(DeviceTuner::new(resident, tuned, options, at)?)),
            false => Self::Host(Box::new(Tuner::new(resident, tuned, options, at)?)),
        })
    }

    fn teach(&mut self, pass: &Pass<'_>, observe: &mut Observer<'_>) -> Result<Tally> {
        match self {
            Self::Host(tuner) => pass.teach(&mut **tuner, observe),
            Self::Device(tuner) => {
                let mut learning = tuner.learn()?;
                let tally = pass.teach(&mut learning, observe)?;
                learning.finish()?;
                Ok(tally)
            }
        }
    }

    fn into_tuned(self) -> Tuned {
        match self {
            Self::Host(tuner) => tuner.into_tuned(),
            Self::Device(tuner) => tuner.into_tuned(),
        }
    }
}

/// Trains on the training images and measures once, on the held-out ones, after the last epoch. Says beforehand what memory it
/// takes.
///
/// # Errors
/// When memory does not suffice, a run fails, an image can no longer be read, or the loss is no longer finite.
pub fn finetune(
    setup: &Setup,
    options: &FinetuneOptions,
    images: Images<'_>,
    observe: &mut Observer<'_>,
) -> Result<Finetuned> {
    let resident = &setup.resident;
    let config = resident.config();
    options.check(config, resident.precision())?;
    let Images { classes, source, held_out } = images;
    let (block, loss) = (source.block(), source.truths().loss());
    let fit = Fit::new(config, options, classes, At { block, loss, stays_on_device: setup.stays_on_device })?;
    observe(Progress::Note(&format!("memory: {} fine-tuning takes {fit}", options.subset.name())));
    let recipe = options.recipe(fit.micro_batch);
    let tuned = Tuned::new(resident, classes, options)?;
    let at = StepInput { block, loss, micro_batch: fit.micro_batch };
    let mut tuning = Tuning::new(setup, tuned, options, at)?;
    let mut seen = Measure { loss: f64::NAN, accuracy: 0.0 };
    for epoch in 0..options.epochs {
        let place = Place { cycle: 0, epoch };
        let pass = Pass { source, recipe: &recipe, place, trainings: Some(1) };
        seen = tuning.teach(&pass, observe)?.measure();
    }
    let tuned = tuning.into_tuned();
    let scorer = Reader::new(resident, held_out.block, &tuned)?.score(&tuned, held_out)?;
    Ok(Finetuned {
        epochs: options.epochs,
        parameters: tuned.parameters(),
        flops: plan_flops(config, &Plan::whole(config, ModuleSet::EMPTY), |_| 0)?,
        seen,
        held_out: scorer.measure(),
        macro_accuracy: scorer.macro_accuracy(),
    })
}
