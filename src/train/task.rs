//! Training a task, from a folder of images to a pack.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};

use super::data::dataset::left_out::{LeftOut, summary};
use super::data::dataset::partition::Partition;
use super::data::load::{Overflow, load};
use super::data::truth::Truths;
use super::measure::final_test::measure_images;
use super::memory::{Fit, Images};
use super::method::training_method::{Checkpoint, Course};
use super::options::TaskOptions;
use super::outcome::{Counts, Outcome};
use super::progress::{Observer, Progress};
use super::publish::{Published, Publisher};
use super::report::story::DataStory;
use super::setup::Setup;

/// Trains a task and writes its pack as the next version. `observe` hears how it goes.
///
/// # Errors
/// When the data cannot be trained on, a run fails, or the pack cannot be written.
pub fn train(setup: &Setup, options: &TaskOptions, observe: &mut Observer<'_>) -> Result<Outcome> {
    let (config, method) = (setup.resident.config(), options.method.get());
    method.check(config)?;
    if options.abstain_accuracy.is_some() {
        let problem = options.images.problem;
        ensure!(problem.is_single_label(), "only single_label_classification abstains, not a {problem}");
    }
    let images = Partition::open(&options.images)?;
    tell(&images, observe);
    let fit = fit(setup, &images, options, observe)?;
    let rows = options.checkpoint.with_extension("rows");
    let overflow = Overflow { train: !fit.train_in_memory, held_out: !fit.held_out_in_memory, beside: &rows };
    let loaded = load(setup, &images, &method.intake(config), &overflow, observe)?;
    let data = DataStory::of(&images, &loaded);
    options.images.walk.write(&data.left_out)?;
    if images.truths == Truths::Classes {
        check_classes(loaded.train.classes(), loaded.train.unreadable(), &images.labels)?;
    }
    ensure!(!loaded.train.classes().is_empty(), "no training image could be read");
    ensure!(!loaded.held_out.is_empty(), "no held-out image could be read: {}", images.held_out);
    let counts = Counts { trained: loaded.train.classes().len(), held_out: loaded.held_out.len() };
    let mut publisher = Publisher { setup, options, images: &images, counts, data };
    let trained = method.train(
        Course {
            setup,
            classes: images.labels.len(),
            images: loaded,
            micro_batch: fit.micro_batch,
            checkpoint: Checkpoint { path: &options.checkpoint, resume: options.resume },
            keep: &|snapshot| publisher.keep(snapshot),
        },
        observe,
    )?;
    let test = measure_images(setup, &trained.model, &images.test, &images.truths)?;
    publisher.data.test = test.tested;
    publisher.data.test_scorer = test.scorer;
    publisher.data.left_out.extend(test.unreadable);
    options.images.walk.write(&publisher.data.left_out)?;
    let Published { folder, refused, held_out: answers, test: test_answers } =
        publisher.publish(&trained.snapshot())?;
    if let Some(checkpoint) = &trained.checkpoint {
        fs::remove_file(checkpoint).with_context(|| checkpoint.display().to_string())?;
    }
    let DataStory { test, held_out, left_out, .. } = publisher.data;
    let (accuracies, cycles) = (trained.accuracies, trained.history.cycles);
    Ok(Outcome {
        folder,
        model: trained.model,
        refused,
        accuracies,
        test,
        images: counts,
        held_out,
        left_out,
        problem: images.truths.problem(),
        answers,
        test_answers,
        cycles,
    })
}

/// Reports warnings about the images.
pub(super) fn tell(images: &Partition, observe: &mut Observer<'_>) {
    let left_out = summary(&images.left_out);
    left_out.iter().chain(&images.warnings).for_each(|text| observe(Progress::Note(text)));
}

/// Fits the training into its memory bound and reports how; without a bound, keeps everything in memory.
fn fit(setup: &Setup, images: &Partition, options: &TaskOptions, observe: &mut Observer<'_>) -> Result<Fit> {
    let method = options.method.get();
    let Some(bound) = options.memory else { return Ok(Fit::unbounded(method.micro_batch())) };
    let (trained, held_out) = (images.train.len(), images.validation.len());
    let images = Images { trained, held_out, classes: images.labels.len() };
    let fit = Fit::within(bound, setup.resident.config(), (&options.method, setup.stays_on_device), images)?;
    observe(Progress::Note(&format!("memory: {fit}")));
    Ok(fit)
}

/// Every class must have an image that could be read.
///
/// # Errors
/// With the class that has none.
pub(super) fn check_classes(classes: &[usize], unreadable: &[LeftOut], labels: &[String]) -> Result<()> {
    let read: BTreeSet<usize> = classes.iter().copied().collect();
    for (class, label) in labels.iter().enumerate() {
        let hint = unreadable.first().map(|first| format!(" ({first})")).unwrap_or_default();
        ensure!(read.contains(&class), "no training image of class {label} could be read{hint}");
    }
    Ok(())
}
