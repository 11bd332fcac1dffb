//! MiMi against what it must beat: a head alone, and adapters of the same size trained as long (the paper's
//! figure 4 and its ablations, METHOD sections 3 and 6).
//!
//! Every run of a comparison sees the same images before the same block, the same number of epochs and the same
//! recipe; seeds change first values and orders. Held-out images choose nothing: each training is measured once,
//! after its last epoch.

mod contender;
mod plot;
mod results;
mod summary;

use std::path::PathBuf;

use anyhow::{Context, Result};

pub use contender::Contender;
pub use plot::plot;
pub use results::{Point, Results};
pub use summary::{Line, Summary, summarise};

use super::cycle::Trainer;
use super::dataset::{Image, Origin, Partition, Walk, summary};
use super::linear::{LinearOptions, fit};
use super::load::check;
use super::model::Model;
use super::options::MimiOptions;
use super::predict::Predictor;
use super::prefix::{Prefix, Rows};
use super::progress::{Cycle, Observer, Progress};
use super::resident::Resident;
use super::source::{Changing, Source};
use super::state::State;
use crate::backbone::BlockRange;
use crate::graph::{Plan, plan_flops};

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
    resident: &Resident,
    options: &CompareOptions,
    observe: &mut Observer<'_>,
    done: &mut dyn FnMut(&Point),
) -> Result<Results> {
    options.mimi.check(&resident.config)?;
    options.linear.check()?;
    let CompareOptions { images, mimi, linear, .. } = options;
    // Where the list of what is left out goes changes no result.
    let images = Origin { walk: Walk { list: None, ..images.walk.clone() }, ..images.clone() };
    let (limits, backbone) = (resident.limits, resident.identity());
    let settings = format!("{images:?} {limits:?} {mimi:?} {linear:?} on {backbone}");
    let mut results = Results::open(&options.results, &settings)?;
    let missing: Vec<(Contender, u64)> = options
        .seeds
        .iter()
        .flat_map(|&seed| options.contenders.iter().map(move |&contender| (contender, seed)))
        .filter(|&(contender, seed)| !results.holds(contender, seed))
        .collect();
    if missing.is_empty() {
        return Ok(results);
    }
    let mut field = Field::open(resident, options, observe)?;
    for (contender, seed) in missing {
        let points = field.run(contender, seed, observe)?;
        points.iter().for_each(&mut *done);
        results.add(points)?;
    }
    Ok(results)
}

/// What all runs share.
struct Field<'a> {
    resident: &'a Resident,
    options: &'a CompareOptions,
    classes: usize,
    /// Where augmented images are read anew each time.
    images: Vec<Image>,
    train: Rows,
    validation: Rows,
    /// Pooled features of both, made when a head is first trained alone.
    features: Option<(Rows, Rows)>,
}

impl<'a> Field<'a> {
    fn open(resident: &'a Resident, options: &'a CompareOptions, observe: &mut Observer<'_>) -> Result<Self> {
        let split = Partition::open(&options.images)?;
        let left_out = summary(&split.left_out);
        left_out.iter().chain(&split.warnings).for_each(|text| observe(Progress::Note(text)));
        let blocks = BlockRange { start: 0, end: options.mimi.first_block };
        let mut prefix = Prefix::new(resident, blocks)?;
        let mut load = |what, images: &[_]| {
            let count = images.len();
            prefix.load(images, |done, rate| observe(Progress::Images { what, done, count, rate }))
        };
        let train = load("training images", &split.train)?;
        let validation = load("held-out images", &split.validation)?;
        let left_out = [&split.left_out[..], &train.unreadable, &validation.unreadable].concat();
        options.images.walk.write(&left_out)?;
        check(&train.classes, &train.unreadable, &split.labels)?;
        let (classes, images) = (split.labels.len(), split.train);
        Ok(Self { resident, options, classes, images, train, validation, features: None })
    }

    /// One contender with one seed: a point for each training it ended.
    fn run(&mut self, contender: Contender, seed: u64, observe: &mut Observer<'_>) -> Result<Vec<Point>> {
        match contender.adapters(&self.options.mimi, seed) {
            Some(mimi) => self.adapters(contender, mimi, observe),
            None => Ok(vec![self.probe(contender, seed)?]),
        }
    }

    fn adapters(
        &self,
        contender: Contender,
        mimi: MimiOptions,
        observe: &mut Observer<'_>,
    ) -> Result<Vec<Point>> {
        let (seed, config) = (mimi.seed, &self.resident.config);
        let mut state = State::new(config, self.classes, &mimi);
        // No held-out images: they are measured below, once a training.
        let none = Rows::none(&self.validation);
        let epochs = mimi.epochs;
        let source = match mimi.augment.keeps_images() {
            true => Source::Kept(self.train.clone()),
            false => {
                let how = (mimi.augment, self.resident.limits);
                Source::Changing(Changing::new(&self.images, &config.preprocessing, how))
            }
        };
        let mut trainer = Trainer::new(self.resident, mimi, source, none);
        let mut points = Vec::new();
        while !state.finished {
            if let Some(model) = trainer.epoch(&mut state, observe)? {
                let measure = Predictor::new(self.resident, self.validation.block, model.sites())?
                    .measure(&model, &self.validation)?;
                let cycle = state.cycles.last().context("a training ended without its figures")?;
                let epochs = epochs * (cycle.cycle + 1);
                points.push(Point::new((contender, seed), (epochs, cycle), &measure));
            }
        }
        Ok(points)
    }

    fn probe(&mut self, contender: Contender, seed: u64) -> Result<Point> {
        let (resident, depth) = (self.resident, self.resident.config.depth());
        let (train, validation) = match &self.features {
            Some(features) => features,
            None => {
                let blocks = BlockRange { start: self.train.block, end: depth };
                let mut rest = Prefix::new(resident, blocks)?;
                let mut features = (self.train.clone(), self.validation.clone());
                rest.advance(&mut features.0)?;
                rest.advance(&mut features.1)?;
                self.features.insert(features)
            }
        };
        let linear = LinearOptions { seed, ..self.options.linear.clone() };
        let model = Model::from_head(&fit(train, self.classes, &linear)?);
        let mut predictor = Predictor::new(resident, depth, model.sites())?;
        let seen = predictor.measure(&model, train)?;
        let plan = Plan::whole(&resident.config, model.sites());
        let cycle = Cycle {
            cycle: 0,
            sigma: f64::INFINITY,
            neurons: 0,
            widths: Default::default(),
            adapter_parameters: 0,
            parameters: model.parameters(),
            flops: plan_flops(&resident.config, &plan, |_| 0)?,
            loss: seen.loss,
            train_accuracy: seen.accuracy,
            validation_accuracy: 0.0,
            validation_loss: 0.0,
        };
        let measure = predictor.measure(&model, validation)?;
        Ok(Point::new((contender, seed), (linear.epochs, &cycle), &measure))
    }
}
