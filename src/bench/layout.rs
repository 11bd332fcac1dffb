//! How rows are best laid over cores: how many workers at once, how many rows in a batch.

use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow};
use serde::{Deserialize, Serialize};

use super::feed::Feed;
use super::{Bench, median, seconds};
use crate::graph::Plan;
use crate::runtime::Program;

/// Rows in the largest batch that is tried.
const LARGEST_BATCH: usize = 64;
/// Gain below which more rows in a batch do not pay, and two layouts are as good as each other: about what repeated runs
/// differ by.
const GAIN: f64 = 0.03;
/// How much longer a batch may take than the shortest of all, where latency is what matters: as much as lets two rows
/// share a run that neither waits for much longer than for its own.
const LATENCY_BOUND: f64 = 1.5;

/// What a layout is chosen for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// Most rows a second among those whose full batch, with every worker busy, takes at most 1.5 times the shortest.
    Latency,
    /// Most rows a second.
    Throughput,
}

/// What one layout was measured to do, every worker being busy with full batches.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Layout {
    /// Workers at once.
    pub workers: usize,
    /// Threads inside one operator.
    pub threads: usize,
    /// Rows in a batch.
    pub batch: usize,
    /// Rows of all workers in a second.
    pub rows_per_second: f64,
    /// Median of what a batch takes, seconds.
    pub batch_seconds: f64,
}

/// The best of `measured` for `goal`; of layouts as good as each other that with the shortest batch.
pub fn choose(measured: &[Layout], goal: Goal) -> Option<Layout> {
    let shortest = measured.iter().map(|layout| layout.batch_seconds).fold(f64::INFINITY, f64::min);
    let bound = match goal {
        Goal::Latency => LATENCY_BOUND * shortest,
        Goal::Throughput => f64::INFINITY,
    };
    let allowed = || measured.iter().filter(|layout| layout.batch_seconds <= bound);
    let most = allowed().map(|layout| layout.rows_per_second).fold(0.0, f64::max);
    let best = allowed().filter(|layout| layout.rows_per_second >= most * (1.0 - GAIN));
    best.min_by(|a, b| a.batch_seconds.total_cmp(&b.batch_seconds)).copied()
}

impl Bench {
    /// Times so many workers at once over batches of 1, 2, 4 … rows, until doubling them no longer pays. All workers'
    /// programs read the same weights.
    ///
    /// # Errors
    /// When a program cannot be compiled or run.
    pub fn layouts(&self, workers: usize) -> Result<Vec<Layout>> {
        let packs = [self.pack(0)?];
        let plan = Plan::whole(self.config(), self.config().adapters());
        let mut programs = (0..workers).map(|_| self.program(&plan)).collect::<Result<Vec<_>>>()?;
        let mut measured: Vec<Layout> = Vec::new();
        let mut batch = 1;
        while batch <= LARGEST_BATCH {
            let feed = self.packs_on_device(&packs, batch, plan.modules)?;
            let layout = self.layout(&mut programs, (&feed, batch))?;
            let best = measured.last().map_or(0.0, |last| last.rows_per_second);
            measured.push(layout);
            if layout.rows_per_second < best * (1.0 + GAIN) {
                break;
            }
            batch *= 2;
        }
        Ok(measured)
    }

    fn layout(&self, programs: &mut [Program], (feed, batch): (&Feed, usize)) -> Result<Layout> {
        // The first batch of a size allocates.
        busy(programs, feed, 1)?;
        let started = Instant::now();
        let times = busy(programs, feed, self.options.rounds)?;
        let rows = times.len() * batch;
        Ok(Layout {
            workers: programs.len(),
            threads: self.resident.threads(),
            batch,
            rows_per_second: rows as f64 / started.elapsed().as_secs_f64(),
            batch_seconds: median(times),
        })
    }
}

/// Seconds of each of `rounds` batches on each of the programs, all at once.
fn busy(programs: &mut [Program], feed: &Feed, rounds: usize) -> Result<Vec<f64>> {
    let work = |program: &mut Program| -> Result<Vec<f64>> {
        (0..rounds).map(|_| seconds(|| feed.run(program).map(drop))).collect()
    };
    thread::scope(|scope| {
        let start = |program| thread::Builder::new().spawn_scoped(scope, || work(program));
        let running = programs.iter_mut().map(start).collect::<Result<Vec<_>, _>>();
        let mut times = Vec::new();
        for worker in running.context("start a worker")? {
            times.extend(worker.join().map_err(|_| anyhow!("a worker panicked"))??);
        }
        Ok(times)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `(workers, batch, rows a second, milliseconds of a batch)`.
    fn layouts(of: &[(usize, usize, f64, f64)]) -> Vec<Layout> {
        let layout = |&(workers, batch, rows_per_second, ms)| Layout {
            workers,
            threads: 1,
            batch,
            rows_per_second,
            batch_seconds: ms / 1e3,
        };
        of.iter().map(layout).collect()
    }

    fn check(goal: Goal, measured: &[(usize, usize, f64, f64)], expected: (usize, usize)) {
        let chosen = choose(&layouts(measured), goal).unwrap();
        assert_eq!((chosen.workers, chosen.batch), expected, "{goal:?} {measured:?}");
    }

    #[test]
    fn latency_takes_what_is_quick_and_throughput_what_is_much() {
        // Two cores: batches save nothing, two workers save what threads cost each other.
        let two_cores = [(1, 1, 5.6, 178.0), (1, 2, 5.6, 357.0), (2, 1, 6.0, 333.0), (2, 2, 6.1, 655.0)];
        check(Goal::Latency, &two_cores, (1, 1));
        check(Goal::Throughput, &two_cores, (2, 1));
        // A GPU: a batch takes hardly longer than a row.
        let gpu = [(1, 1, 200.0, 5.0), (1, 2, 333.0, 6.0), (1, 4, 533.0, 7.5), (1, 8, 600.0, 13.3)];
        check(Goal::Latency, &gpu, (1, 4));
        check(Goal::Throughput, &gpu, (1, 8));
    }

    #[test]
    fn noise_decides_nothing_and_nothing_gives_nothing() {
        check(Goal::Throughput, &[(1, 1, 100.0, 10.0), (1, 2, 102.0, 19.6)], (1, 1));
        assert_eq!(choose(&[], Goal::Latency), None);
    }
}
