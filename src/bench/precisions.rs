//! The same program in several precisions.

use anyhow::Result;

use super::{Bench, median, seconds};
use crate::graph::Plan;

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
        let plan = Plan::whole(&bench.config, bench.config.all_sites());
        let packs = [bench.pack(0)?];
        let feeds = [1, bench.options.batch].map(|rows| bench.feed(&packs, rows, plan.sites));
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
