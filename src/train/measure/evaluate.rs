//! Measuring a pack on labelled images, through the engine that serves it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rayon::prelude::*;

use super::predict::likeliest;
use super::scorer::Scorer;
use crate::engine::{self, Canvas, Engine, EngineOptions, Pixels, Row, Share, bank_bytes, states_bytes};
use crate::image::Limits;
use crate::metrics::Metrics;
use crate::pack::{Pack, TaskId};
use crate::train::data::dataset::image::Image;
use crate::train::data::dataset::left_out::LeftOut;
use crate::train::data::picture::picture;
use crate::train::data::truth::Truths;
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
    /// `[true class][predicted class]`; empty where outputs are no classes.
    pub confusion: Vec<Vec<usize>>,
    /// All answers, to be scored in other ways.
    pub scorer: Scorer,
    /// Files that could not be read, with the reason.
    pub unreadable: Vec<LeftOut>,
}

impl Evaluation {
    /// Share of images classified rightly, 0 to 1, or the score of what the outputs mean instead.
    pub fn accuracy(&self) -> f64 {
        self.scorer.score()
    }
}

/// Images and what they show.
#[derive(Clone, Copy, Debug)]
pub struct Labelled<'a> {
    /// The images.
    pub images: &'a [Image],
    /// What their classes mean.
    pub truths: &'a Truths,
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
    evaluate_labelled(engine, task, pack, Labelled { images, truths: &Truths::Classes }, limits)
}

/// As [`evaluate`], for images that may show other things than classes.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_labelled(
    engine: &Engine,
    task: &TaskId,
    pack: &Arc<Pack>,
    labelled: Labelled<'_>,
    limits: &Limits,
) -> Result<Evaluation> {
    engine.cover(pack.modules).blocking_recv().context("the engine stopped")??;
    let is_single = *labelled.truths == Truths::Classes;
    let classes = if is_single { pack.manifest.labels.len() } else { 0 };
    let (confusion, scorer) = (vec![vec![0; classes]; classes], Scorer::new(labelled.truths));
    let mut result = Evaluation { right: 0, total: 0, confusion, scorer, unreadable: Vec::new() };
    for chunk in labelled.images.chunks(CHUNK) {
        let decode = |image| Ok(pixels(image, pack, (engine.canvas()?, limits)));
        let decoded = chunk.par_iter().map(decode).collect::<Result<Vec<_>, engine::Error>>()?;
        let permits = engine.admit(Share::EVERYBODY, chunk.len())?;
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
            let logits = logits.to_vec();
            let predicted = likeliest(&logits).context("the pack has no class")?;
            if is_single {
                result.confusion[image.class][predicted] += 1;
            }
            result.scorer.add(image.class, &logits);
        }
    }
    (result.right, result.total) = (result.scorer.right(), result.scorer.count());
    Ok(result)
}

/// Classifies images under `pack` on an engine of its own, with a program for exactly the pack's sites, as the
/// server would have.
///
/// # Errors
/// When the engine cannot be started or a run fails.
pub fn evaluate_alone(
    setup: &Setup,
    task: &TaskId,
    pack: &Arc<Pack>,
    labelled: Labelled<'_>,
) -> Result<Evaluation> {
    let options = EngineOptions {
        max_batch: 8,
        max_wait: Duration::ZERO,
        queue_limit: 64,
        workers: 1,
        max_programs: 1,
        bank_memory: bank_bytes(setup.resident.device()),
        states_memory: states_bytes(setup.resident.device(), 0),
        ..EngineOptions::default()
    };
    let engine = Engine::start(setup.resident.clone(), Arc::new(Metrics::new()?), &options)?;
    engine.prepare(pack.modules).blocking_recv().context("the engine stopped")??;
    evaluate_labelled(&engine, task, pack, labelled, &setup.limits)
}

fn pixels(image: &Image, pack: &Pack, (canvas, limits): (Canvas, &Limits)) -> Result<Pixels> {
    Ok(canvas.pixels(&picture(&image.path, limits)?, &pack.manifest.preprocessing)?)
}
