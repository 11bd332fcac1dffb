//! The same program in several precisions.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{Bench, median, seconds};
use crate::backbone::ModuleSet;
use crate::graph::{PIXELS, Plan};
use crate::image::{self, Limits};
use crate::runtime::Input;

/// Seconds of the bare program, medians of interleaved rounds.
#[derive(Clone, Copy, Debug)]
pub struct Bare {
    /// One row.
    pub one: f64,
    /// A batch under one pack.
    pub batch: f64,
}

/// Times the program with every site over the weights of each, in turns, so that a machine that changes its pace changes
/// it for all.
///
/// # Errors
/// When a program cannot be compiled or run.
pub fn interleaved(benches: &[Bench]) -> Result<Vec<Bare>> {
    let mut programs = Vec::new();
    for bench in benches {
        let plan = Plan::whole(bench.config(), bench.config().adapters());
        let packs = [bench.pack(0)?];
        let feed = |rows| bench.on_device(&packs, rows, plan.modules);
        let feeds = [feed(1)?, feed(bench.options.batch)?];
        programs.push((bench.program(&plan)?, feeds, [Vec::new(), Vec::new()]));
    }
    let rounds = benches.iter().map(|bench| bench.options.rounds).max().unwrap_or(0);
    // The first round warms up and is not counted.
    for round in 0..=rounds {
        for (program, feeds, times) in &mut programs {
            for (feed, times) in feeds.iter().zip(times) {
                let time = seconds(|| feed.run(program).map(drop))?;
                if round > 0 {
                    times.push(time);
                }
            }
        }
    }
    let medians =
        programs.into_iter().map(|(.., [one, batch])| Bare { one: median(one), batch: median(batch) });
    Ok(medians.collect())
}

/// How near features are to the first precision's: cosines over images.
#[derive(Clone, Copy, Debug)]
pub struct Nearness {
    /// Mean.
    pub mean: f64,
    /// Least.
    pub least: f64,
}

/// Compares the backbone's features of image files with those over the first weights.
///
/// # Errors
/// When an image cannot be read or a program cannot be run.
pub fn nearness(benches: &[Bench], files: &[PathBuf]) -> Result<Vec<Nearness>> {
    let of = |bench: &Bench| -> Result<Vec<Vec<f32>>> {
        let mut program = bench.program(&Plan::whole(bench.config(), ModuleSet::EMPTY))?;
        let shape = [vec![1], bench.config().input_shape(0)].concat();
        let features = |file: &PathBuf| {
            let pixels = pixels(bench, file).with_context(|| file.display().to_string())?;
            let output = program.run(&[Input { name: PIXELS, shape: &shape, data: &pixels }])?;
            Ok(output.into_iter().next().context("no features")?.data)
        };
        files.iter().map(features).collect()
    };
    let all = benches.iter().map(of).collect::<Result<Vec<_>>>()?;
    let exact = all.first().cloned().unwrap_or_default();
    let nearness = all.iter().map(|features| {
        let cosines: Vec<f64> = features.iter().zip(&exact).map(|(a, b)| cosine(a, b)).collect();
        let least = cosines.iter().copied().fold(f64::INFINITY, f64::min);
        Nearness { mean: cosines.iter().sum::<f64>() / cosines.len() as f64, least }
    });
    Ok(nearness.collect())
}

fn pixels(bench: &Bench, file: &PathBuf) -> Result<Vec<f32>> {
    let decoded = image::decode(&std::fs::read(file)?, &Limits::default())?;
    Ok(bench.config().preprocessing.apply(&decoded)?)
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}
