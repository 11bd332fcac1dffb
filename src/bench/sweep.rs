//! Batches of many sizes, under few packs and many.

use std::sync::Arc;

use anyhow::{Context, Result};
use serde::Serialize;

use super::{Bench, median, seconds};
use crate::backbone::ModuleSet;
use crate::engine::{self, EngineOptions};
use crate::graph::Plan;
use crate::pack::Pack;

/// Batches in flight at once where throughput is measured: enough that no worker waits for rows.
const AT_ONCE: usize = 4;

/// Which batches.
#[derive(Clone, Debug)]
pub struct Grid {
    /// Rows in a batch.
    pub rows: Vec<usize>,
    /// Distinct packs in a batch; a batch with fewer rows is skipped.
    pub packs: Vec<usize>,
    /// Where packs have adapters; the other sites were removed.
    pub sites: ModuleSet,
}

/// What one batch takes: medians of interleaved rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Swept {
    /// Rows.
    pub rows: usize,
    /// Distinct packs.
    pub packs: usize,
    /// Adapters in each pack.
    pub adapters: usize,
    /// The bare program with these sites, all rows under one pack, its inputs ready, seconds.
    pub bare_seconds: f64,
    /// The engine, from the first row's submission to the last answer, seconds.
    pub engine_seconds: f64,
    /// The engine's slowest round, seconds.
    pub slowest_seconds: f64,
    /// The engine with four batches in flight, seconds a batch.
    pub steady_seconds: f64,
    /// Rows of the engine a second with so many batches in flight.
    pub rows_per_second: f64,
}

impl Bench {
    /// Times the batches of a grid and hands each to `each` as it comes.
    ///
    /// # Errors
    /// When a program cannot be compiled or run, or `each` fails.
    pub fn sweep(&self, grid: &Grid, mut each: impl FnMut(Swept) -> Result<()>) -> Result<()> {
        let most = |numbers: &[usize]| numbers.iter().copied().max().unwrap_or(1).max(1);
        let mut program = self.program(&Plan::whole(self.config(), grid.sites))?;
        let made = (0..most(&grid.packs)).map(|i| self.pack_at(i as u64, grid.sites));
        let made = made.collect::<Result<Vec<_>>>()?;
        let images = self.images(most(&grid.rows));
        for &rows in grid.rows.iter().filter(|&&rows| rows > 0) {
            let feed = self.on_device(&made[..1], rows, grid.sites)?;
            let workers = engine::workers(self.resident.device());
            let options = EngineOptions { queue_limit: AT_ONCE * rows, workers, ..self.one_batch(rows) };
            let engine = self.start(options)?;
            engine.prepare(grid.sites).blocking_recv().context("the engine stopped")??;
            for &packs in grid.packs.iter().filter(|&&packs| (1..=rows).contains(&packs)) {
                let under: Vec<Arc<Pack>> = (0..rows).map(|row| Arc::clone(&made[row % packs])).collect();
                let (many, under_many) = (many(&images[..rows]), many(&under));
                let mut times = Times::default();
                // The first round warms up and is not counted.
                for round in 0..=self.options.rounds {
                    let bare = seconds(|| feed.run(&mut program).map(drop))?;
                    let ours = seconds(|| super::ask::ask(&engine, (&images[..rows], None), &under))?;
                    let steady = seconds(|| super::ask::ask(&engine, (&many, None), &under_many))?;
                    if round > 0 {
                        times.bare.push(bare);
                        times.ours.push(ours);
                        times.steady.push(steady / AT_ONCE as f64);
                    }
                }
                each(times.of(rows, packs, grid.sites.len()))?;
            }
        }
        Ok(())
    }
}

/// What as many batches have as are in flight at once.
fn many<T: Clone>(batch: &[T]) -> Vec<T> {
    batch.iter().cycle().take(AT_ONCE * batch.len()).cloned().collect()
}

/// Seconds of each round.
#[derive(Default)]
struct Times {
    bare: Vec<f64>,
    ours: Vec<f64>,
    steady: Vec<f64>,
}

impl Times {
    fn of(self, rows: usize, packs: usize, adapters: usize) -> Swept {
        let slowest_seconds = self.ours.iter().copied().fold(0.0, f64::max);
        let (bare_seconds, engine_seconds) = (median(self.bare), median(self.ours));
        let steady_seconds = median(self.steady);
        let rows_per_second = rows as f64 / steady_seconds;
        Swept {
            rows,
            packs,
            adapters,
            bare_seconds,
            engine_seconds,
            slowest_seconds,
            steady_seconds,
            rows_per_second,
        }
    }
}
