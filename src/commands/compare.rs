//! `server compare`.

use std::cell::RefCell;
use std::fs;

use anyhow::{Context, Result};
use mimi_server::files::write_atomically;
use mimi_server::train::study::{
    Against, Compared, Point, Purpose, Results, Run, compare, compare_methods, plot, scatter, standings,
    summarise, table,
};
use mimi_server::train::{Progress, Setup};

use super::backbone;
use super::failures::none_failed;
use super::progress::Reporter;
use crate::cli::CompareArgs;

/// Trains what is compared, and writes tables and plots.
pub fn run(args: &CompareArgs) -> Result<()> {
    fs::create_dir_all(&args.out).with_context(|| args.out.display().to_string())?;
    let methods = args.methods()?;
    let resident = backbone::resident(&args.runtime, &args.runtime.training())?;
    let setup = Setup { limits: args.images.limits.limits(), ..Setup::new(resident) };
    let reporter = RefCell::new(Reporter::new());
    // A comparison measures held-out images itself, so that a training's own figures would only mislead.
    let mut observe = |progress: Progress<'_>| {
        if matches!(progress, Progress::Note(_) | Progress::Images { .. } | Progress::Step(_)) {
            reporter.borrow_mut().show(progress);
        }
    };
    let outcome = match &methods {
        Some(options) => {
            let tell = &mut |run: &Run| reporter.borrow().line(&told(run));
            compare_methods(&setup, options, &mut observe, tell).map(Outcome::Methods)
        }
        None => {
            let tell = &mut |point: &Point| reporter.borrow().line(&reached(point));
            compare(&setup, &args.options()?, &mut observe, tell).map(Outcome::Contenders)
        }
    };
    reporter.borrow_mut().end();
    match outcome? {
        Outcome::Methods(Compared { ledger, failures }) => {
            present(args, ledger.runs())?;
            none_failed(&failures)
        }
        Outcome::Contenders(results) => summarised(args, results.points()),
    }
}

/// What a comparison gave.
enum Outcome {
    /// Methods, on any number of sets.
    Methods(Compared),
    /// MiMi and its ablations, on one.
    Contenders(Results),
}

/// Writes what a comparison of contenders gave: a table and a plot.
fn summarised(args: &CompareArgs, points: &[Point]) -> Result<()> {
    let summary = summarise(points);
    write(args, "table.md", &summary.to_string())?;
    write(args, "plot.svg", &plot(&summary, args.title.as_deref().unwrap_or("MiMi"))?)?;
    print!("{summary}");
    Ok(())
}

fn reached(point: &Point) -> String {
    format!(
        "{:<10} seed {} training {}: {} adapters, {} parameters, {:.3} GFLOPs, held-out accuracy {:.4}",
        point.contender,
        point.seed,
        point.cycle + 1,
        point.adapters,
        point.adapter_parameters,
        point.flops as f64 / 1e9,
        point.accuracy
    )
}

/// Writes what a comparison of methods gave: a table, and plots of each set and of the mean over sets.
fn present(args: &CompareArgs, runs: &[Run]) -> Result<()> {
    let standings = standings(runs);
    let title = args.title.as_deref().or(runs.first().map(|run| run.backbone.as_str())).unwrap_or_default();
    let text = table(&standings)?;
    write(args, "table.md", &text)?;
    for one in &standings {
        let title = one.set.as_ref().map_or(title.to_owned(), |set| format!("{title}: {set}"));
        let whole = one.set.is_none() || standings.len() == 1;
        let before = one.set.as_ref().filter(|_| !whole).map(|set| format!("{set}-")).unwrap_or_default();
        for against in Against::ALL {
            let name = format!("{before}{}.svg", against.name());
            write(args, &name, &scatter(one, against, &title)?)?;
        }
    }
    print!("{text}");
    Ok(())
}

fn write(args: &CompareArgs, name: &str, text: &str) -> Result<()> {
    let path = args.out.join(name);
    write_atomically(&path, text.as_bytes()).with_context(|| path.display().to_string())
}

/// A run in a line.
pub(super) fn told(run: &Run) -> String {
    let Run { plan, figures, .. } = run;
    let what = if plan.purpose == Purpose::Tuning { "tuning" } else { "seed" };
    format!(
        "{:<18} {:<12} {what} {}: accuracy {:.4}, {} parameters, {:.3} GFLOPs, {:.0} s",
        plan.method,
        plan.set,
        plan.seed,
        figures.accuracy,
        figures.cost.trained_parameters,
        figures.cost.flops as f64 / 1e9,
        figures.train_seconds
    )
}
