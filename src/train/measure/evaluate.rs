//! Measuring a pack on labelled images, through the engine that serves it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rayon::prelude::*;

use super::predict::likeliest;
use crate::engine::{Engine, EngineOptions, Row};
use crate::image::Limits;
use crate::metrics::Metrics;
use crate::pack::{Pack, TaskId};
use crate::train::data::dataset::image::Image;
use crate::train::data::dataset::left_out::LeftOut;
use crate::train::data::picture::picture;
use crate::train::setup::Setup;

/// Images decoded and queued at once.
const CHUNK: usize = 16;

/// What a pack scored.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// Images whose likeliest class was theirs.
    pub right: usize,
    /// Images that could be read.
    pub total: usize,
    /// `[true class][predicted class]`.
    pub confusion: Vec<Vec<usize>>,
    /// Files that could not be read, with the reason.
    pub unreadable: Vec<LeftOut>,
}

impl Evaluation {
    /// Share of images classified rightly, 0 to 1.
    pub fn accuracy(&self) -> f64 {
        self.right as f64 / self.total.max(1) as f64
    }
}

/// Classifies `images` under `pack`; skips those beyond `limits`.
///
/// # Errors
/// When a run fails.
pub fn evaluate(
    engine: &Engine,
    task: &TaskId,
    pack: &Arc<Pack>,
    images: &[Image],
    limits: &Limits,
) -> Result<Evaluation> {
    engine.cover(pack.modules).blocking_recv().context("the engine stopped")??;
    let classes = pack.manifest.labels.len();
    let mut result =
        Evaluation { right: 0, total: 0, confusion: vec![vec![0; classes]; classes], unreadable: Vec::new() };
    for chunk in images.chunks(CHUNK) {
        let decoded: Vec<_> = chunk.par_iter().map(|image| pixels(image, pack, limits)).collect();
        let permits = engine.admit(chunk.len())?;
        let mut waiting = Vec::new();
        for ((image, decoded), permit) in chunk.iter().zip(decoded).zip(permits) {
            match decoded {
                Ok(pixels) => {
                    let row = Row::new(task.clone(), pixels, Arc::clone(pack));
                    waiting.push((image, engine.submit(row, permit)));
                }
                Err(reason) => result.unreadable.push(LeftOut::failed(&image.path, &reason)),
            }
        }
        for (image, answer) in waiting {
            let logits = answer.blocking_recv().context("the engine stopped")??.logits;
            let predicted = likeliest(&logits.to_vec()).context("the pack has no class")?;
            result.confusion[image.class][predicted] += 1;
            result.right += usize::from(predicted == image.class);
            result.total += 1;
        }
    }
    Ok(result)
}

/// Classifies `images` under `pack` on an engine of its own, with a program for exactly the pack's sites, as the
/// server would have.
///
/// # Errors
/// When the engine cannot be started or a run fails.
pub fn evaluate_alone(
    setup: &Setup,
    task: &TaskId,
    pack: &Arc<Pack>,
    images: &[Image],
) -> Result<Evaluation> {
    let options = EngineOptions {
        max_batch: 8,
        max_wait: Duration::ZERO,
        queue_limit: 64,
        workers: 1,
        max_programs: 1,
        prefix_memory: 0,
    };
    let engine = Engine::start(setup.resident.clone(), Arc::new(Metrics::new()?), &options)?;
    engine.prepare(pack.modules).blocking_recv().context("the engine stopped")??;
    evaluate(&engine, task, pack, images, &setup.limits)
}

fn pixels(image: &Image, pack: &Pack, limits: &Limits) -> Result<Arc<[f32]>> {
    Ok(pack.manifest.preprocessing.apply(&picture(&image.path, limits)?)?.into())
}
