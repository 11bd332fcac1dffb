//! `server compare`.

use std::cell::RefCell;
use std::fs;

use anyhow::{Context, Result};
use mimi_server::files::write_atomically;
use mimi_server::train::study::{compare, plot, summarise};
use mimi_server::train::{Progress, Setup};

use super::backbone;
use super::progress::Reporter;
use crate::cli::CompareArgs;

/// Trains MiMi and what it is compared with, and writes a table and a plot.
pub fn run(args: &CompareArgs) -> Result<()> {
    fs::create_dir_all(&args.out).with_context(|| args.out.display().to_string())?;
    let resident = backbone::resident(&args.runtime, &args.runtime.training())?;
    let setup = Setup { limits: args.images.limits.limits(), ..Setup::new(resident) };
    let reporter = RefCell::new(Reporter::new());
    // A comparison measures held-out images itself, so that a training's own figures would only mislead.
    let mut observe = |progress: Progress<'_>| {
        if matches!(progress, Progress::Note(_) | Progress::Images { .. } | Progress::Step(_)) {
            reporter.borrow_mut().show(progress);
        }
    };
    let results = compare(&setup, &args.options()?, &mut observe, &mut |point| {
        reporter.borrow().line(&format!(
            "{:<10} seed {} training {}: {} adapters, {} parameters, {:.3} GFLOPs, held-out accuracy {:.4}",
            point.contender,
            point.seed,
            point.cycle + 1,
            point.adapters,
            point.adapter_parameters,
            point.flops as f64 / 1e9,
            point.accuracy
        ));
    });
    reporter.borrow_mut().end();
    let results = results?;
    let summary = summarise(results.points());
    for (name, text) in [("table.md", summary.to_string()), ("plot.svg", plot(&summary, &args.title)?)] {
        let path = args.out.join(name);
        write_atomically(&path, text.as_bytes()).with_context(|| path.display().to_string())?;
    }
    print!("{summary}");
    Ok(())
}
