//! A run of an entrant that trains the backbone's own weights.

use std::time::Instant;

use anyhow::{Result, ensure};

use super::arena::Seen;
use super::price::TASKS;
use super::run::{Cost, Figures};
use crate::backbone::ModuleSet;
use crate::graph::tasks_flops;
use crate::train::method::finetune::options::FinetuneOptions;
use crate::train::method::finetune::run::{Images, finetune};
use crate::train::optim::diverged::Diverged;
use crate::train::progress::Observer;
use crate::train::setup::Setup;

/// Trains and measures. An interrupted run begins again: it keeps no checkpoint, which would be as large as the backbone.
pub(super) fn run(
    setup: &Setup,
    own: &FinetuneOptions,
    classes: usize,
    seen: &Seen,
    observe: &mut Observer<'_>,
) -> Result<Figures> {
    let (source, started) = (&seen.loaded.train, Instant::now());
    let found = finetune(setup, own, Images { classes, source, held_out: &seen.measured }, observe)?;
    let train_seconds = started.elapsed().as_secs_f64();
    ensure!(found.held_out.loss.is_finite(), Diverged(found.held_out.loss));
    let config = setup.resident.config();
    Ok(Figures {
        train_images: source.classes().len(),
        measured_images: seen.measured.len(),
        accuracy: found.held_out.accuracy,
        macro_accuracy: found.macro_accuracy,
        loss: found.held_out.loss,
        train_accuracy: found.seen.accuracy,
        cost: Cost {
            trained_parameters: found.parameters,
            head_parameters: classes * (config.feature_width() + 1),
            pack_bytes: None,
            adapter_bytes: None,
            flops: found.flops,
            flops_of_8: tasks_flops(config, own.first_block, TASKS, (ModuleSet::EMPTY, &|_| 0))?,
        },
        train_seconds,
    })
}
