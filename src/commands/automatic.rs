//! `server train-task --auto`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use mimi_server::files::write_atomically;
use mimi_server::train::study::auto::{Automatic, Found, auto, document, markdown};
use mimi_server::train::{Outcome, Setup};

use super::progress::Reporter;
use crate::cli::TrainArgs;

/// What was chosen, and where its report is.
pub(super) struct Chosen {
    found: Found,
    report: PathBuf,
}

/// Chooses a method, trains the task by it, and writes the report.
pub(super) fn train(setup: &Setup, args: &TrainArgs, reporter: &mut Reporter) -> Result<(Outcome, Chosen)> {
    let options = args.automatic(setup.resident.config().depth())?;
    let made = auto(setup, &options, &mut |progress| reporter.show(progress));
    reporter.end();
    let Automatic { found, outcome } = made?;
    let folder = args.auto.auto_reports.join(&found.task);
    let report = write(&folder, &found).with_context(|| folder.display().to_string())?;
    Ok((outcome, Chosen { found, report }))
}

/// Writes the report in every form; returns the page's path.
fn write(folder: &Path, found: &Found) -> Result<PathBuf> {
    fs::create_dir_all(folder)?;
    write_atomically(&folder.join("report.json"), &serde_json::to_vec_pretty(found)?)?;
    write_atomically(&folder.join("report.md"), markdown(found).as_bytes())?;
    let page = folder.join("report.html");
    write_atomically(&page, document(found).as_bytes())?;
    Ok(page)
}

/// Says what was chosen and why.
pub(super) fn show(chosen: &Chosen) {
    let Chosen { found, report } = chosen;
    println!("chosen              {}: {}", found.chosen, found.reason);
    if let Some(against) = &found.against {
        println!(
            "head alone          {:.4}, chosen {:.4} ({} images), p = {:.2e} by McNemar's exact test",
            against.head, against.accuracy, against.count, against.p
        );
    }
    println!("report              {}", report.display());
    println!("the same again      {}", found.command);
}
