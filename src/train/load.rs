//! Images on their way to a training: within a bound of memory, decoded, run through frozen blocks.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};

use super::augment::AugmentOptions;
use super::dataset::{LeftOut, Partition};
use super::memory::{Fit, Images};
use super::prefix::{Prefix, Rows};
use super::progress::{Observer, Progress};
use super::report::DataStory;
use super::resident::Resident;
use super::source::{Changing, Source};
use super::task::{Method, TaskOptions};
use crate::backbone::BlockRange;
use crate::files::beside;

/// How the training keeps within its bound, and says so; everything in memory where there is none.
///
/// # Errors
/// When the bound is too low.
pub(super) fn bound(
    resident: &Resident,
    images: &Partition,
    options: &TaskOptions,
    observe: &mut Observer<'_>,
) -> Result<Fit> {
    let mimi = match &options.method {
        Method::Mimi(mimi) => Some(mimi),
        Method::Linear(_) => None,
    };
    let Some(bytes) = options.memory else {
        return Ok(Fit::unbounded(mimi.map_or(1, |mimi| mimi.step.micro_batch)));
    };
    let (trained, held_out) = (images.train.len(), images.validation.len());
    let counts = Images { trained, held_out, classes: images.labels.len() };
    let fit = Fit::within(bytes, &resident.config, mimi, counts)?;
    observe(Progress::Note(&format!("memory: {fit}")));
    Ok(fit)
}

/// Training images as the method takes them, and held-out images before the first block that is trained.
///
/// # Errors
/// When a run fails or rows that exceed the memory cannot be written.
pub(super) fn load(
    resident: &Resident,
    (images, fit): (&Partition, &Fit),
    options: &TaskOptions,
    observe: &mut Observer<'_>,
) -> Result<(Source, Rows)> {
    let (block, augment) = match &options.method {
        Method::Linear(_) => (resident.config.depth(), AugmentOptions::none()),
        Method::Mimi(mimi) => (mimi.first_block, mimi.augment),
    };
    let mut prefix = Prefix::new(resident, BlockRange { start: 0, end: block })?;
    let mut keep = |what, images: &[_], in_memory: bool| {
        let count = images.len();
        let tell = |done, rate| observe(Progress::Images { what, done, count, rate });
        match in_memory {
            true => prefix.load(images, tell),
            false => prefix.load_to(&beside(&options.checkpoint.with_extension("rows")), images, tell),
        }
    };
    let train = match augment.keeps_images() {
        true => Source::Kept(keep("training images", &images.train, fit.train_in_memory)?),
        false => {
            let how = (augment, resident.limits);
            Source::Changing(Changing::new(&images.train, &resident.config.preprocessing, how))
        }
    };
    Ok((train, keep("held-out images", &images.validation, fit.held_out_in_memory)?))
}

/// Every class must have an image that could be read.
///
/// # Errors
/// With the class that has none.
pub(super) fn check(classes: &[usize], unreadable: &[LeftOut], labels: &[String]) -> Result<()> {
    let read: BTreeSet<usize> = classes.iter().copied().collect();
    for (class, label) in labels.iter().enumerate() {
        let hint = unreadable.first().map(|first| format!(" ({first})")).unwrap_or_default();
        ensure!(read.contains(&class), "no training image of class {label} could be read{hint}");
    }
    Ok(())
}

/// What the report tells of the images.
pub(super) fn describe(images: &Partition, (train, validation): (&Source, &Rows)) -> DataStory {
    let mut counts = vec![(0, 0); images.labels.len()];
    train.classes().iter().for_each(|&class| counts[class].0 += 1);
    validation.classes.iter().for_each(|&class| counts[class].1 += 1);
    let left_out = [&images.left_out, train.unreadable(), &validation.unreadable].concat();
    let (held_out, warnings) = (images.held_out.clone(), images.warnings.clone());
    DataStory { counts, held_out, test: None, left_out, warnings }
}
