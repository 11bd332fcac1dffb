//! Variants of images, kept before the first block that is trained.

use std::panic::{AssertUnwindSafe, catch_unwind};

use mimi_server::pack::WEIGHTS_FILE;
use mimi_server::train::{AugmentOptions, Init, Method, MimiOptions, Progress, Target, TaskOptions, train};

use super::{dataset, options, run, setup};
use crate::server::World;

fn mimi(augment: AugmentOptions) -> MimiOptions {
    MimiOptions {
        sigma: 4.0,
        target: Target::Sigma(16.0),
        first_block: 1,
        epochs: 2,
        batch: 8,
        init: Init::KaimingUniform,
        augment,
        ..MimiOptions::default()
    }
}

fn flips(variants: usize) -> AugmentOptions {
    AugmentOptions { crop: 0.5, flip: 0.5, variants, ..AugmentOptions::none() }
}

struct Trained {
    weights: Vec<u8>,
    notes: Vec<String>,
}

fn trained(world: &World, options: &TaskOptions) -> Trained {
    let mut notes = Vec::new();
    let outcome = train(&setup(world), options, &mut |progress| {
        if let Progress::Note(note) = progress {
            notes.push(note.to_owned());
        }
    });
    Trained { weights: std::fs::read(outcome.unwrap().folder.join(WEIGHTS_FILE)).unwrap(), notes }
}

#[test]
fn variants_of_unchanged_images_are_the_images() {
    let (world, data) = (World::new(), tempfile::tempdir().unwrap());
    dataset(data.path());
    let with = |augment| TaskOptions { method: Method::Mimi(mimi(augment)), ..options(&world, data.path()) };
    let plain = trained(&world, &with(AugmentOptions::none()));
    let one = trained(&world, &with(AugmentOptions { variants: 1, ..AugmentOptions::none() }));
    assert_eq!(plain.weights, one.weights);
    assert!(one.notes.is_empty(), "nothing is kept twice: {:?}", one.notes);
    let varied = trained(&world, &with(flips(3)));
    assert_ne!(plain.weights, varied.weights);
    assert!(varied.notes[0].contains("3 variants of 23 training images take 1 MiB in memory"));
    assert_ne!(varied.weights, trained(&world, &with(flips(4))).weights);
}

#[test]
fn a_resumed_training_draws_the_same_variants() {
    let (world, data) = (World::new(), tempfile::tempdir().unwrap());
    dataset(data.path());
    let options = TaskOptions { method: Method::Mimi(mimi(flips(3))), ..options(&world, data.path()) };
    let whole = trained(&world, &options);
    let mut steps = 0;
    let interrupted = catch_unwind(AssertUnwindSafe(|| {
        train(&setup(&world), &options, &mut |progress| {
            steps += usize::from(matches!(progress, Progress::Step(_)));
            assert!(steps < 8, "stopped by the test");
        })
    }));
    assert!(interrupted.is_err());
    let resumed = trained(&world, &TaskOptions { resume: true, ..options });
    assert!(whole.weights == resumed.weights, "resumed after 2 of 6 epochs");
}

#[test]
fn what_needs_pixels_is_refused() {
    let (world, data) = (World::new(), tempfile::tempdir().unwrap());
    dataset(data.path());
    let augment = AugmentOptions { cutmix: 1.0, ..flips(2) };
    let options = TaskOptions { method: Method::Mimi(mimi(augment)), ..options(&world, data.path()) };
    let error = format!("{:#}", run(&world, &options).unwrap_err());
    assert!(error.contains("cutmix needs pixels"), "{error}");
}
