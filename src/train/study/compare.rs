//! MiMi against what it must beat: a head alone, and adapters of the same size trained as long (the paper's
//! figure 4 and its ablations, docs/method.md sections 3 and 6).
//!
//! Every run of a comparison sees the same images before the same block, for the same number of epochs. All share one
//! recipe but fine-tuning, which has its own. Seeds change first values and orders. Held-out images choose nothing: each
//! training is measured once, after its last epoch.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::contender::Contender;
use super::results::{Point, Results};
use crate::backbone::{BlockRange, ModuleSet};
use crate::graph::{Plan, plan_flops};
use crate::train::data::dataset::image::Image;
use crate::train::data::dataset::origin::Origin;
use crate::train::data::dataset::partition::Partition;
use crate::train::data::intake::Intake;
use crate::train::data::load::{Loaded, Overflow, changed};
use crate::train::data::prefix::Prefix;
use crate::train::data::rows::Rows;
use crate::train::data::source::Source;
use crate::train::fingerprint::Fingerprint;
use crate::train::history::Cycle;
use crate::train::measure::predict::Predictor;
use crate::train::method::finetune::options::FinetuneOptions;
use crate::train::method::finetune::run::{Images, finetune};
use crate::train::method::linear::{LinearOptions, fit};
use crate::train::method::mimi::cycle::Trainer;
use crate::train::method::mimi::options::MimiOptions;
use crate::train::method::mimi::state::State;
use crate::train::model::Model;
use crate::train::optim::diverged::Diverged;
use crate::train::progress::{Observer, Progress};
use crate::train::setup::Setup;
use crate::train::task::{check_classes, tell};

/// What to compare.
#[derive(Clone, Debug)]
pub struct CompareOptions {
    /// Images, the same for every run, and how they are divided.
    pub images: Origin,
    /// MiMi as everyone is compared with.
    pub mimi: MimiOptions,
    /// The head alone.
    pub linear: LinearOptions,
    /// Who takes part.
    pub contenders: Vec<Contender>,
    /// Most bytes that fine-tuning of the backbone takes beside it; no bound without it.
    pub memory: Option<u64>,
    /// Seeds: one run of each contender for each.
    pub seeds: Vec<u64>,
    /// File of results; runs it holds are not made again.
    pub results: PathBuf,
}

/// Makes the runs that are missing; `observe` hears how they go, `done` what each gave.
///
/// # Errors
/// When the data cannot be trained on, the file belongs to another comparison, or a run fails.
pub fn compare(
    setup: &Setup,
    options: &CompareOptions,
    observe: &mut Observer<'_>,
    done: &mut dyn FnMut(&Point),
) -> Result<Results> {
    options.mimi.check(setup.resident.config())?;
    options.linear.check()?;
    let mut results = Results::open(&options.results, options.fingerprint(setup)?)?;
    let missing: Vec<(Contender, u64)> = options
        .seeds
        .iter()
        .flat_map(|&seed| options.contenders.iter().map(move |&contender| (contender, seed)))
        .filter(|&(contender, seed)| !results.holds(contender, seed))
        .collect();
    if missing.is_empty() {
        return Ok(results);
    }
    for &contender in &options.contenders {
        if let Some(own) = contender.finetune(&options.mimi, 0)? {
            own.check(setup.resident.config(), setup.resident.precision())?;
        }
    }
    let mut field = Field::open(setup, options, observe)?;
    for (contender, seed) in missing {
        let points = field.run(contender, seed, observe)?;
        if let Some(point) = points.iter().find(|point| !point.loss.is_finite()) {
            bail!("{contender} with seed {seed}: {}", Diverged(point.loss));
        }
        results.add(points.clone())?;
        points.iter().for_each(&mut *done);
    }
    Ok(results)
}

impl CompareOptions {
    /// Identity of the results.
    fn fingerprint(&self, setup: &Setup) -> Result<Fingerprint> {
        Fingerprint::default()
            .with("images", &self.images)?
            .with("limits.max_bytes", &setup.limits.max_bytes)?
            .with("limits.max_pixels", &setup.limits.max_pixels)?
            .with("mimi", &self.mimi)?
            .with("linear", &self.linear)?
            .with("backbone", &setup.resident.identity())
    }
}

/// What all runs share.
struct Field<'a> {
    setup: &'a Setup,
    options: &'a CompareOptions,
    classes: usize,
    /// Training images, for runs that change them at every epoch.
    images: Vec<Image>,
    train: Rows,
    validation: Rows,
    /// Pooled features of both, made when a head is first trained alone.
    features: Option<(Rows, Rows)>,
}

impl<'a> Field<'a> {
    fn open(setup: &'a Setup, options: &'a CompareOptions, observe: &mut Observer<'_>) -> Result<Self> {
        let split = Partition::open(&options.images)?;
        tell(&split, observe);
        let blocks = BlockRange { start: 0, end: options.mimi.first_block };
        let mut prefix = Prefix::new(setup, blocks)?;
        let mut load = |what, images: &[_]| {
            let count = images.len();
            prefix.load(images, |done, rate| observe(Progress::Images { what, done, count, rate }))
        };
        let train = load("training images", &split.train)?;
        let validation = load("held-out images", &split.validation)?;
        let left_out = [&split.left_out[..], &train.unreadable, &validation.unreadable].concat();
        options.images.walk.write(&left_out)?;
        check_classes(&train.classes, &train.unreadable, &split.labels)?;
        let (classes, images) = (split.labels.len(), split.train);
        Ok(Self { setup, options, classes, images, train, validation, features: None })
    }

    /// One contender with one seed: a point for each training it ended.
    fn run(&mut self, contender: Contender, seed: u64, observe: &mut Observer<'_>) -> Result<Vec<Point>> {
        if let Some(own) = contender.finetune(&self.options.mimi, seed)? {
            return Ok(vec![self.finetuned(contender, own, observe)?]);
        }
        match contender.adapters(&self.options.mimi, seed) {
            Some(mimi) => self.adapters(contender, mimi, observe),
            None => Ok(vec![self.probe(contender, seed)?]),
        }
    }

    /// The training images, changed at every epoch where `augment` says so.
    fn source(&self, intake: Intake, observe: &mut Observer<'_>) -> Result<Source> {
        if intake.augment.keeps_images() {
            return Ok(Source::Kept(self.train.clone()));
        }
        let overflow = Overflow { train: false, held_out: false, beside: &self.options.results };
        changed(self.setup, &self.images, &intake, &overflow, observe)
    }

    fn finetuned(
        &self,
        contender: Contender,
        own: FinetuneOptions,
        observe: &mut Observer<'_>,
    ) -> Result<Point> {
        let own = FinetuneOptions { memory: self.options.memory, ..own };
        let intake = Intake { block: own.first_block, augment: own.augment, seed: own.seed };
        let source = self.source(intake, observe)?;
        let images = Images { classes: self.classes, source: &source, held_out: &self.validation };
        let found = finetune(self.setup, &own, images, observe)?;
        Ok(Point {
            contender,
            seed: own.seed,
            cycle: 0,
            epochs: found.epochs,
            neurons: 0,
            adapters: 0,
            adapter_parameters: found.parameters,
            flops: found.flops,
            train_accuracy: found.seen.accuracy,
            accuracy: found.held_out.accuracy,
            loss: found.held_out.loss,
        })
    }

    fn adapters(
        &self,
        contender: Contender,
        mimi: MimiOptions,
        observe: &mut Observer<'_>,
    ) -> Result<Vec<Point>> {
        let resident = &self.setup.resident;
        let mut state = State::new(resident.config(), self.classes, &mimi);
        let intake = Intake { block: mimi.first_block, augment: mimi.augment, seed: mimi.seed };
        let train = self.source(intake, observe)?;
        // No held-out images: they are measured below, once a training.
        let images = Loaded { train, held_out: Rows::none(&self.validation) };
        let mut trainer = Trainer::new(self.setup, &mimi, images, mimi.step.micro_batch)?;
        let mut points = Vec::new();
        while !state.finished {
            if let Some(model) = trainer.epoch(&mut state, observe)? {
                let held_out = Predictor::new(resident, self.validation.block, model.modules())?
                    .measure(&model, &self.validation)?;
                let cycle = state.history.cycles.last().context("a training ended without its figures")?;
                let epochs = mimi.epochs * (cycle.cycle + 1);
                points.push(Point { epochs, ..Point::new(contender, mimi.seed, cycle, &held_out) });
            }
        }
        Ok(points)
    }

    fn probe(&mut self, contender: Contender, seed: u64) -> Result<Point> {
        let resident = &self.setup.resident;
        let (config, depth) = (resident.config(), resident.config().depth());
        let (train, validation) = match &self.features {
            Some(features) => features,
            None => {
                let blocks = BlockRange { start: self.train.block, end: depth };
                let mut rest = Prefix::new(self.setup, blocks)?;
                let mut features = (self.train.clone(), self.validation.clone());
                rest.advance(&mut features.0)?;
                rest.advance(&mut features.1)?;
                self.features.insert(features)
            }
        };
        let linear = LinearOptions { seed, ..self.options.linear.clone() };
        let model = Model::from_head(&fit(train, self.classes, &linear)?);
        let mut predictor = Predictor::new(resident, depth, model.modules())?;
        let seen = predictor.measure(&model, train)?;
        let cycle = Cycle {
            cycle: 0,
            sigma: f64::INFINITY,
            neurons: 0,
            widths: Default::default(),
            adapter_parameters: 0,
            parameters: model.parameters.count(),
            flops: plan_flops(config, &Plan::whole(config, ModuleSet::EMPTY), |_| 0)?,
            loss: seen.loss,
            train_accuracy: seen.accuracy,
            validation_accuracy: 0.0,
            validation_loss: 0.0,
        };
        let held_out = predictor.measure(&model, validation)?;
        Ok(Point { epochs: linear.epochs, ..Point::new(contender, seed, &cycle, &held_out) })
    }
}
