//! How long steps take, without data: random images under random classes.

use std::time::Instant;

use anyhow::Result;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::backbone::ModuleSet;
use crate::graph::Direct;
use crate::runtime::Resident;
use crate::train::data::minibatch::{Minibatch, TargetOptions};
use crate::train::data::rows::row_shape;
use crate::train::method::mimi::options::MimiOptions;
use crate::train::method::mimi::state::State;
use crate::train::optim::around::Around;
use crate::train::optim::device_step::DeviceStepper;
use crate::train::optim::learner::Learner;
use crate::train::optim::step::Stepper;
use crate::train::optim::steps::Learning;

/// Which steps.
#[derive(Clone, Debug, PartialEq)]
pub struct SpeedOptions {
    /// Width of the blocks over width of the adapters (σ).
    pub sigma: f64,
    /// Sites without an adapter.
    pub leave_out: ModuleSet,
    /// Whether steps begin at the lowest adapter, as in a training without augmentation.
    pub kept: bool,
    /// Images in one step.
    pub batch: usize,
    /// Images run together.
    pub micro_batch: usize,
    /// Classes.
    pub classes: usize,
    /// Steps that are timed; one before them warms up.
    pub steps: usize,
    /// Whether parameters and moments stay on the device between steps.
    pub stays_on_device: bool,
}

/// Seconds of each step: forward, backward, clipping and update.
///
/// # Errors
/// When the program cannot be compiled or run.
pub fn step_seconds(resident: &Resident, options: &SpeedOptions) -> Result<Vec<f64>> {
    let mimi = MimiOptions { sigma: options.sigma, batch: options.batch, ..MimiOptions::default() };
    let mut model = State::new(resident.config(), options.classes, &mimi).model;
    model.parameters.retain(|name| name.module().is_none_or(|module| !options.leave_out.contains(module)));
    let block = if options.kept { model.lowest_block(resident.config()) } else { 0 };
    let (trained, step) = (Direct::TRAINED, mimi.recipe(options.micro_batch).step);
    let batch = batch(resident, block, options);
    if options.stays_on_device {
        let mut stepper = DeviceStepper::new(resident, (block, &model), trained, step, Around::default())?;
        return timed(&mut stepper.learn(&mut model)?, (&batch, mimi.rate), options.steps);
    }
    let stepper = &mut Stepper::new(resident, block, &model, trained, step)?;
    timed(&mut Learning { stepper, model: &mut model }, (&batch, mimi.rate), options.steps)
}

/// Seconds of each of so many steps, after one that warms up.
fn timed(learner: &mut dyn Learner, (batch, rate): (&Minibatch, f64), steps: usize) -> Result<Vec<f64>> {
    let mut seconds = Vec::with_capacity(steps);
    let mut random = ChaCha8Rng::seed_from_u64(0);
    for step in 0..=steps {
        let started = Instant::now();
        learner.step(batch, (rate, &mut random))?;
        if step > 0 {
            seconds.push(started.elapsed().as_secs_f64());
        }
    }
    Ok(seconds)
}

fn batch(resident: &Resident, block: usize, options: &SpeedOptions) -> Minibatch {
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let shape = [vec![options.batch], row_shape(resident.config(), block)].concat();
    let values = (0..shape.iter().product()).map(|_| random.random_range(-1.0..1.0)).collect();
    let classes: Vec<usize> = (0..options.batch).map(|i| i % options.classes).collect();
    let targets = TargetOptions { classes: options.classes, smoothing: 0.0 }.of(&classes);
    Minibatch { shape, values, targets, classes }
}
