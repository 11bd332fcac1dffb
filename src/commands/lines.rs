//! `server bench --sweep`, `--parity` and `--programs`: a line of JSON a figure.

use std::sync::Arc;

use anyhow::{Result, ensure};
use mimi_server::backbone::{BackboneConfig, BlockRange, ModuleSet, Precision};
use mimi_server::bench::{Bench, Grid, Options, memory_used, parity};
use mimi_server::runtime::{Device, Resident, Runtime, WeightOptions};
use serde::Serialize;

use super::backbone;
use crate::cli::{BenchArgs, LinesArgs};

/// Measures and prints.
pub fn run(args: &BenchArgs, options: Options) -> Result<()> {
    let lines = &args.lines;
    if !lines.programs.is_empty() {
        return programs(args, options);
    }
    let config = backbone::config(&args.runtime)?;
    let sites = sites(&config, lines)?;
    let bench = open(args, &config, (args.runtime.device(), args.runtime.weights()), options)?;
    if lines.parity {
        let exact = WeightOptions { precision: Precision::Fp32, ..args.runtime.weights() };
        let reference = open(args, &config, (Device::Cpu, exact), options)?;
        return parity((&reference, &bench), sizes(lines), sites, |found| print(&found));
    }
    let grid = Grid { rows: lines.rows.clone(), packs: lines.packs.clone(), sites };
    bench.sweep(&grid, |swept| print(&swept))
}

/// Memory before anything is loaded, with the weights, and with programs.
fn programs(args: &BenchArgs, options: Options) -> Result<()> {
    let mut counts = args.lines.programs.clone();
    counts.sort_unstable();
    let device = args.runtime.device();
    let line = |what: &str, programs: usize, bytes: u64| {
        print(&serde_json::json!({ "loaded": what, "programs": programs, "bytes": bytes }))
    };
    line("nothing", 0, memory_used(device)?)?;
    let config = backbone::config(&args.runtime)?;
    let bench = open(args, &config, (device, args.runtime.weights()), options)?;
    line("weights", 0, memory_used(device)?)?;
    let used = bench.memory(&counts)?;
    counts.into_iter().zip(used).try_for_each(|(count, bytes)| line("programs", count, bytes))
}

fn open(
    args: &BenchArgs,
    config: &Arc<BackboneConfig>,
    (device, weights): (Device, WeightOptions),
    options: Options,
) -> Result<Bench> {
    let mut settings = args.runtime.options();
    settings.device = device;
    let (runtime, folder) = (Runtime::open(&settings)?, args.runtime.backbone_folder());
    Ok(Bench::new(Resident::on(&runtime, Arc::clone(config), &folder, weights)?, options))
}

/// The sites that packs have adapters at.
fn sites(config: &BackboneConfig, lines: &LinesArgs) -> Result<ModuleSet> {
    let (start, end) = (lines.from_block, config.depth());
    ensure!(start < end, "--from-block {start}: {} has blocks 0 to {}", config.name, end - 1);
    Ok(ModuleSet::adapters(BlockRange { start, end }))
}

/// Rows and packs of every batch that was asked for.
fn sizes(lines: &LinesArgs) -> impl Iterator<Item = (usize, usize)> {
    let packs = |rows| lines.packs.iter().copied().filter(move |packs| (1..=rows).contains(packs));
    lines.rows.iter().flat_map(move |&rows| packs(rows).map(move |packs| (rows, packs)))
}

fn print(figures: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string(figures)?);
    Ok(())
}
