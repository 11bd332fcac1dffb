//! `server bench`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use mimi_server::backbone::Precision;
use mimi_server::bench::{
    Bare, Bench, Known, Nearness, Options, Shared, interleaved, metrics_cost, nearness, scrape_cost,
};
use mimi_server::runtime::{Device, Resident, Runtime, WeightOptions, share_heaps};
use mimi_server::train::study::step_seconds;
use serde_json::json;

use super::{backbone, lines};
use crate::cli::BenchArgs;

/// Tasks of a server that is scraped.
const SCRAPED: usize = 10_000;
/// Programs whose memory is compared with one's.
const PROGRAMS: usize = 8;
/// Packs whose memory is compared with their own count of it.
const PACKS: usize = 1000;

/// Tasks on record while recording a request is timed.
const TASKS: usize = 1000;

/// Has the system end this process when its parent ends, killed or not.
fn end_with(parent: u32) -> Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    // It may have ended before the system was told.
    let now = std::os::unix::process::parent_id();
    ensure!(now == parent, "the process {parent} that asked for this measurement has ended");
    Ok(())
}

/// Measures and prints.
pub fn run(args: &BenchArgs) -> Result<()> {
    if let Some(parent) = args.parent {
        end_with(parent)?;
    }
    args.runtime.one_device()?;
    ensure!(args.state.is_none() || args.train || args.fork, "--state is of --train and --fork");
    if args.train {
        return steps(&backbone::resident(&args.runtime, &args.runtime.training())?, args);
    }
    // As a server has it, unless told otherwise.
    share_heaps(1);
    let options = Options {
        batch: args.batch.max(2),
        width: args.width.max(1),
        rounds: args.rounds.max(1),
        states_stay: args.stays_on_device(args.runtime.device()),
        cuda_graphs: args.replayed_rows()?,
    };
    if args.lines.asked() {
        return lines::run(args, options);
    }
    let (folder, config) = (args.runtime.backbone_folder(), backbone::config(&args.runtime)?);
    let workers = args.workers.map(|workers| workers.max(1));
    let runtime = Runtime::open(&args.runtime.options_for(workers.unwrap_or(1)))?;
    let threads = runtime.threads();
    let open = |precision| {
        let weights = WeightOptions { precision, ..args.runtime.weights() };
        Ok(Bench::new(Resident::on(&runtime, Arc::clone(&config), &folder, weights)?, options))
    };
    if args.precisions {
        // A CPU has no kernels for halves and TF32, a GPU none for these integers.
        let timed: &[_] = match runtime.device() {
            Device::Cpu => &[Precision::Fp32, Precision::Int8, Precision::Int8Reduced],
            Device::Cuda(_) => &[Precision::Fp32, Precision::Tf32, Precision::Fp16],
        };
        let benches: Result<Vec<_>> = timed.iter().copied().map(open).collect();
        let benches = benches?;
        precisions(timed, &benches, &options)?;
        return match args.images.is_empty() {
            true => Ok(()),
            false => near(timed, &benches, &args.images),
        };
    }
    let precision = args.runtime.weights().precision;
    let bench = open(precision)?;
    if let Some(workers) = workers {
        return layouts(&bench, workers);
    }
    if let Some(seconds) = args.flood {
        return floods(&bench, options.batch, Duration::from_secs(seconds.max(1)));
    }
    if args.lines.json {
        return forks_as_lines(&bench, config.depth(), &options);
    }
    println!("{} in {precision}, {threads} thread(s), medians of {} rounds", config.name, options.rounds);
    if args.fork {
        return forks(&bench, config.depth());
    }
    if args.memory {
        memory(&bench, PROGRAMS.min(config.sites().len()), runtime.device())?;
    }
    let bare = speeds(&bench, options.batch)?;
    let seconds = metrics_cost(TASKS, options.rounds)?;
    let (share, us) = (bare / (bare + seconds), seconds * 1e6);
    println!("recording a request         {us:>9.2} us, {TASKS} tasks; metrics on / off {share:.6}");
    let ms = scrape_cost(SCRAPED, options.rounds)? * 1e3;
    println!("a scrape                    {ms:>9.2} ms, {SCRAPED} tasks");
    Ok(())
}

/// Compares the memory of several programs with one's, and of packs with their own count.
fn memory(bench: &Bench, programs: usize, device: Device) -> Result<()> {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let compared = |what: &str, (a, b): (u64, u64), ratio: f64| {
        println!("{what:<27}{:.0} / {:.0} MiB, ratio {ratio:.3}", mib(a), mib(b));
    };
    let what = match device {
        Device::Cpu => "PSS",
        Device::Cuda(_) => "GPU",
    };
    let used = bench.memory(&[1, programs])?;
    let (one, many) = (used[0], used[1]);
    compared(&format!("{what} with 1 / {programs} programs"), (one, many), many as f64 / one as f64);
    let (counted, grown) = bench.pack_memory(PACKS)?;
    compared(&format!("{PACKS} packs, counted / PSS"), (counted, grown), grown as f64 / counted as f64);
    Ok(())
}

/// Times the bare program and the engine; seconds of the bare program for one row.
fn speeds(bench: &Bench, batch: usize) -> Result<f64> {
    let times = bench.times()?;
    let line = |what: &str, seconds: f64, rows: usize| {
        println!("{what:<28}{:>9.1} ms {:>8.2} images/s", seconds * 1e3, rows as f64 / seconds);
    };
    println!("{:<28}{:>9.1} ms", "making a program", times.program * 1e3);
    line("bare program, 1 row", times.bare_one, 1);
    line(&format!("bare program, {batch} rows"), times.bare_batch, batch);
    line(&format!("engine, {batch} rows, 1 pack"), times.identical, batch);
    line(&format!("engine, {batch} rows, {batch} packs"), times.distinct, batch);
    println!("engine / bare program       {:>9.3}", times.bare_batch / times.identical);
    println!("{batch} packs / 1 pack           {:>9.3}", times.identical / times.distinct);
    Ok(times.bare_one)
}

/// Compares features in each precision with the first's.
fn near(timed: &[Precision], benches: &[Bench], images: &[PathBuf]) -> Result<()> {
    println!("precision    cosine to {}'s features, {} images: mean, least", timed[0], images.len());
    for (precision, Nearness { mean, least }) in timed.iter().zip(nearness(benches, images)?) {
        println!("{precision:<12} {mean:.5} {least:.5}");
    }
    Ok(())
}

/// Times the bare program in each precision, the first of which the others are compared with.
fn precisions(timed: &[Precision], benches: &[Bench], options: &Options) -> Result<()> {
    let times = interleaved(benches)?;
    let Some(&exact) = times.first() else { return Ok(()) };
    println!(
        "precision      1 row ms   {} rows ms   speed-up: 1 row   {} rows",
        options.batch, options.batch
    );
    for (precision, Bare { one, batch }) in timed.iter().zip(times) {
        let (faster, faster_batch) = (exact.one / one, exact.batch / batch);
        println!(
            "{precision:<12} {:>10.1} {:>11.1} {faster:>17.2} {faster_batch:>8.2}",
            one * 1e3,
            batch * 1e3
        );
    }
    Ok(())
}

/// Tasks that share an image.
const TOGETHER: [usize; 5] = [1, 2, 4, 8, 16];

/// Times one image under several tasks whose adapters are in the last third of the blocks.
fn forks(bench: &Bench, depth: usize) -> Result<()> {
    let cut = depth - depth / 3;
    println!("adapters from block {cut} of {depth}");
    println!("tasks   images apart ms   one image ms   speed-up   ideal   of ideal");
    for tasks in TOGETHER {
        let Shared { apart, together, ideal } = bench.shared(tasks, cut)?;
        let (gain, a, b) = (apart / together, apart * 1e3, together * 1e3);
        println!("{tasks:>5} {a:>17.1} {b:>14.1} {gain:>10.2} {ideal:>7.2} {:>10.2}", gain / ideal);
    }
    let Known { unknown, known, ideal } = bench.known(cut)?;
    println!(
        "a known image {:.1} ms, an unknown one {:.1} ms: {:.3} of it; by FLOPs {ideal:.3}",
        known * 1e3,
        unknown * 1e3,
        known / unknown
    );
    Ok(())
}

/// The same as lines of JSON.
fn forks_as_lines(bench: &Bench, depth: usize, options: &Options) -> Result<()> {
    let (cut, state, graphs) = (depth - depth / 3, place(options.states_stay), options.cuda_graphs);
    for tasks in TOGETHER {
        let Shared { apart, together, ideal } = bench.shared(tasks, cut)?;
        println!(
            "{}",
            json!({"tasks": tasks, "state": state, "cuda_graphs": graphs, "apart_seconds": apart,
                "together_seconds": together, "ideal": ideal})
        );
    }
    let Known { unknown, known, ideal } = bench.known(cut)?;
    println!(
        "{}",
        json!({"state": state, "cuda_graphs": graphs, "unknown_seconds": unknown, "known_seconds": known, "ideal": ideal})
    );
    Ok(())
}

/// Where what later runs go on from lies, as lines call it.
fn place(stays_on_device: bool) -> &'static str {
    if stays_on_device { "device" } else { "host" }
}

/// Times a light flow beside a flood, and shares of flows; one line of JSON each.
fn floods(bench: &Bench, batch: usize, time: Duration) -> Result<()> {
    for apart in [false, true] {
        println!("{}", serde_json::to_string(&bench.harm(batch, apart, time)?)?);
    }
    for weights in [&[1, 1, 1, 1][..], &[1, 2, 4]] {
        println!("{}", serde_json::to_string(&bench.parted(batch, weights, time)?)?);
    }
    Ok(())
}

/// Times workers; one line of JSON a layout, so that `serve --tune` can compare.
fn layouts(bench: &Bench, workers: usize) -> Result<()> {
    for layout in bench.layouts(workers)? {
        println!("{}", serde_json::to_string(&layout)?);
    }
    Ok(())
}

/// Times training steps; one line of JSON each, so that another program can interleave and compare.
fn steps(resident: &Resident, args: &BenchArgs) -> Result<()> {
    let options = args.speed(resident.device())?;
    for seconds in step_seconds(resident, &options)? {
        let line = json!({"seconds": seconds, "images_per_second": options.batch as f64 / seconds,
            "state": place(options.stays_on_device)});
        println!("{line}");
    }
    Ok(())
}
