//! One candidate after the other, on the same part of the training images.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};

use super::asked::AutoOptions;
use super::plan::Guess;
use super::split::apart;
use super::state::Measured;
use super::watch::Watch;
use crate::train::data::dataset::image::Image;
use crate::train::data::dataset::partition::Partition;
use crate::train::data::intake::Intake;
use crate::train::data::load::{Loaded, Overflow, load};
use crate::train::data::rows::Rows;
use crate::train::measure::final_test::measure_images;
use crate::train::memory::{Fit, Images};
use crate::train::method::Method;
use crate::train::method::training_method::{Checkpoint, Course, Trained};
use crate::train::model::Model;
use crate::train::progress::{Observer, Progress};
use crate::train::setup::Setup;
use crate::train::study::price::Priced;
use crate::train::task::check_classes;

/// Images that a candidate is timed on.
const TIMED: usize = 256;

/// The training images, apart.
pub(super) struct Field<'a> {
    setup: &'a Setup,
    /// All images but those that are chosen by; nothing is held out.
    part: Partition,
    /// Those that are chosen by.
    chosen_by: Vec<Image>,
    /// The part as candidates take it in.
    loaded: Vec<(Intake, Loaded)>,
    /// Most bytes that a training may take.
    memory: Option<u64>,
    /// Path beside which rows that exceed the memory and packs that are weighed are kept.
    beside: PathBuf,
}

impl<'a> Field<'a> {
    /// Takes the training images of `all` apart.
    pub fn new(setup: &'a Setup, options: &AutoOptions, all: &Partition) -> Self {
        let split = apart(&all.train, all.labels.len(), options.seed);
        let (validation, test) = (Vec::new(), Vec::new());
        let part = Partition { train: split.train, validation, test, ..all.clone() };
        let (beside, memory) = (options.task.checkpoint.clone(), options.task.memory);
        Self { setup, part, chosen_by: split.validation, loaded: Vec::new(), memory, beside }
    }

    /// Images that candidates are trained on.
    pub fn trained(&self) -> usize {
        self.part.train.len()
    }

    /// Images that they are measured on.
    pub fn measured(&self) -> usize {
        self.chosen_by.len()
    }

    /// Whether the images are there as a candidate takes them in.
    pub fn holds(&self, intake: &Intake) -> bool {
        self.loaded.iter().any(|(known, _)| known == intake)
    }

    /// Gives the memory of images back that are taken in in no way of `needed`.
    pub fn keep(&mut self, needed: &[Intake]) {
        self.loaded.retain(|(known, _)| needed.contains(known));
    }

    /// Images as a candidate takes them in; each way is prepared once.
    ///
    /// # Errors
    /// When a run fails or rows that exceed the memory cannot be written.
    pub fn prepare(&mut self, intake: &Intake, observe: &mut Observer<'_>) -> Result<Loaded> {
        if let Some((_, loaded)) = self.loaded.iter().find(|(known, _)| known == intake) {
            return Ok(loaded.clone());
        }
        let loaded = self.load(&self.part, intake, observe)?;
        self.loaded.push((*intake, loaded.clone()));
        Ok(loaded)
    }

    fn load(&self, part: &Partition, intake: &Intake, observe: &mut Observer<'_>) -> Result<Loaded> {
        // Several ways to take images in may be kept at once: within a bound they lie in files.
        let overflow = Overflow { train: self.memory.is_some(), held_out: false, beside: &self.beside };
        load(self.setup, part, intake, &overflow, &mut |news| quietly(news, observe))
    }

    /// Every class must have a training image that can be read, so that hours are not spent before that is told. Where none
    /// of its images is in the part, those that are chosen by are tried.
    ///
    /// # Errors
    /// With the class that has none.
    pub fn check(&mut self, intake: &Intake, observe: &mut Observer<'_>) -> Result<()> {
        let train = self.prepare(intake, observe)?.train;
        let mut classes = train.classes().to_vec();
        let is_missing = |image: &&Image| !classes.contains(&image.class);
        let others: Vec<Image> = self.chosen_by.iter().filter(is_missing).cloned().collect();
        if !others.is_empty() {
            let few = Partition { train: others, ..self.part.clone() };
            classes.extend_from_slice(self.load(&few, intake, observe)?.train.classes());
        }
        check_classes(&classes, train.unreadable(), &self.part.labels)
    }

    /// Trains and measures a candidate. `checkpoint` keeps its state between epochs, and is left for [`forget`].
    ///
    /// # Errors
    /// When the training fails.
    pub fn run(
        &mut self,
        method: &Method,
        checkpoint: &Path,
        observe: &mut Observer<'_>,
    ) -> Result<Measured> {
        let loaded = self.prepare(&method.get().intake(self.setup.resident.config()), observe)?;
        self.play(method, loaded, checkpoint, observe)
    }

    /// Seconds of an epoch on the part, by a training on a few images, and of a run beside them.
    ///
    /// # Errors
    /// When the training fails.
    pub fn time(&self, method: &Method, checkpoint: &Path, observe: &mut Observer<'_>) -> Result<Guess> {
        let every = self.part.train.len().div_ceil(TIMED).max(1);
        let some: Vec<Image> = self.part.train.iter().step_by(every).cloned().collect();
        let (count, few) = (some.len().max(1), Partition { train: some, ..self.part.clone() });
        let loaded = self.load(&few, &method.get().intake(self.setup.resident.config()), observe)?;
        // What an interrupted process left would be too quick.
        forget(checkpoint)?;
        let found = self.play(method, loaded, checkpoint, observe)?;
        forget(checkpoint)?;
        let epoch = found.epoch_seconds * self.part.train.len() as f64 / count as f64;
        Ok(Guess { epoch, run: found.run_seconds })
    }

    fn play(
        &self,
        method: &Method,
        images: Loaded,
        checkpoint: &Path,
        observe: &mut Observer<'_>,
    ) -> Result<Measured> {
        let (sample, started, mut watch) = (sample(&images), Instant::now(), Watch::default());
        let own = Own { checkpoint, memory: self.memory };
        let trained = trained(self.setup, &self.part, method, (images, own), &mut |news| {
            if let Progress::Step(step) = news {
                watch.see(step, Instant::now());
            }
            observe(news);
        })?;
        let train_seconds = started.elapsed().as_secs_f64();
        let epoch_seconds = watch.epoch_seconds(train_seconds);
        let right = answers(self.setup, &trained.model, &self.chosen_by, &self.part)?;
        let (method, labels) = (method.get(), &self.part.labels[..]);
        let priced = Priced { setup: self.setup, method, trained: &trained, labels, sample: &sample };
        let cost = priced.cost(&self.beside)?;
        let right = right.into_iter().map(|right| if right { '1' } else { '0' }).collect();
        let run_seconds = (started.elapsed().as_secs_f64() - watch.epochs() * epoch_seconds).max(0.0);
        Ok(Measured { right, cost, train_seconds, epoch_seconds, run_seconds })
    }
}

/// What a training has for itself.
pub(super) struct Own<'a> {
    /// Keeps the state between epochs.
    pub checkpoint: &'a Path,
    /// Most bytes that it may take, rows apart.
    pub memory: Option<u64>,
}

/// Trains on images of `part`.
///
/// # Errors
/// When the training fails.
pub(super) fn trained(
    setup: &Setup,
    part: &Partition,
    method: &Method,
    (images, own): (Loaded, Own<'_>),
    observe: &mut Observer<'_>,
) -> Result<Trained> {
    let counts = Images { trained: 0, held_out: 0, classes: part.labels.len() };
    let within = |bound| Fit::within(bound, setup.resident.config(), (method, setup.stays_on_device), counts);
    let fit = own.memory.map(within).transpose()?;
    let method = method.get();
    let course = Course {
        setup,
        classes: part.labels.len(),
        images,
        micro_batch: fit.map_or(method.micro_batch(), |fit| fit.micro_batch),
        checkpoint: Checkpoint { path: own.checkpoint, resume: true },
        keep: &|_| Ok(()),
    };
    method.train(course, &mut |news| quietly(news, observe))
}

/// Hands on all but figures of held-out images: there are none here.
fn quietly(news: Progress<'_>, observe: &mut Observer<'_>) {
    if matches!(news, Progress::Note(_) | Progress::Images { .. } | Progress::Step(_)) {
        observe(news);
    }
}

/// Whether a model is right, image by image; those that cannot be read are left out.
///
/// # Errors
/// When a run fails.
pub(super) fn answers(setup: &Setup, model: &Model, images: &[Image], all: &Partition) -> Result<Vec<bool>> {
    let found = measure_images(setup, model, images, &all.truths)?;
    Ok(found.scorer.confidences().iter().map(|answer| answer.is_right).collect())
}

/// Removes the state of a training whose result is kept.
///
/// # Errors
/// When it cannot be removed.
pub(super) fn forget(checkpoint: &Path) -> Result<()> {
    match fs::remove_file(checkpoint) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| checkpoint.display().to_string())
        }
        _ => Ok(()),
    }
}

/// An image of the first class and one of another, for a pack's self-test.
fn sample(images: &Loaded) -> Rows {
    let (paths, all) = (images.train.paths(), images.train.classes());
    let other = all.iter().position(|class| Some(class) != all.first());
    let places: Vec<usize> = (!all.is_empty()).then_some(0).into_iter().chain(other).collect();
    let classes = places.iter().map(|&place| all[place]).collect();
    let paths = places.iter().map(|&place| paths[place].to_owned()).collect();
    Rows { classes, paths, ..Rows::none(&images.held_out) }
}
