//! `server train-task --auto`.

use std::path::Path;

use anyhow::Result;
use mimi_server::train::Setup;
use mimi_server::train::study::auto::{Automatic, Found, auto};

use super::progress::Reporter;
use crate::cli::TrainArgs;

/// Chooses a method, trains the task by it, and writes the report.
pub(super) fn train(setup: &Setup, args: &TrainArgs, reporter: &mut Reporter) -> Result<Automatic> {
    let options = args.automatic(setup.resident.config().depth())?;
    let made = auto(setup, &options, &mut |progress| reporter.show(progress));
    reporter.end();
    made
}

/// Says what was chosen and why.
pub(super) fn show(found: &Found, report: &Path) {
    println!("chosen              {}: {}", found.chosen, found.reason);
    if let Some(against) = &found.against {
        println!(
            "head alone          {:.4}, chosen {:.4} ({} images), p = {:.2e} by McNemar's exact test",
            against.head, against.accuracy, against.count, against.p
        );
    }
    if let Some(reason) = &found.unmatched {
        println!("head alone          not compared: {reason}");
    }
    println!("report              {}", report.display());
    println!("the same again      {}", found.command);
}
