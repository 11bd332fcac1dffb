//! `server train-task`.

use std::sync::Arc;

use anyhow::{Result, ensure};
use mimi_server::train::{Features, Resident, train};
use mimi_server::{errors, pack};

use super::backbone;
use super::left_out::tell_left_out;
use super::progress::Reporter;
use crate::cli::{Listed, TrainArgs};

/// Exit status of a process that SIGINT ended: 128 and the signal's number.
const INTERRUPTED: i32 = 130;

/// Trains one task, or those of a file, and writes their packs.
pub fn run(args: TrainArgs) -> Result<()> {
    explain_interruption(&args)?;
    let mut resident = Resident::from(backbone::resident(&args.runtime, &args.runtime.training())?);
    if args.many.tasks_file.is_none() {
        return one(&resident, &args);
    }
    resident.features = Some(Arc::new(Features::new(args.many.feature_memory << 20)));
    many(&resident, args.listed()?)
}

/// Trains listed tasks; one that fails does not stop the rest.
fn many(resident: &Resident, tasks: Vec<Listed>) -> Result<()> {
    let (count, mut failed) = (tasks.len(), 0);
    for (number, Listed { line, args }) in tasks.into_iter().enumerate() {
        println!("task {} of {count}, {}", number + 1, args.task.as_deref().unwrap_or_default());
        if let Err(error) = one(resident, &args) {
            failed += 1;
            eprintln!("error: line {line}: {}", errors::once(&*error));
        }
    }
    ensure!(failed == 0, "{failed} of {count} tasks were not trained");
    Ok(())
}

fn one(resident: &Resident, args: &TrainArgs) -> Result<()> {
    let options = args.options()?;
    let folder = options.adapters.join(options.task.as_str());
    if args.many.skip_existing && folder.try_exists()? && !pack::versions(&folder)?.is_empty() {
        println!("{} has a version already", folder.display());
        return Ok(());
    }
    let resident = &Resident { limits: args.images.limits.limits(), ..resident.clone() };
    let mut reporter = Reporter::new();
    let report = train(resident, &options, &mut |progress| reporter.show(progress));
    reporter.end();
    let report = report?;
    tell_left_out(&report.left_out, args.images.walk.list_skipped.as_deref());
    let (trained, held_out) = report.images;
    println!("{}", report.folder.display());
    if let Some(reason) = &report.refused {
        println!("not published       {reason}");
    }
    println!("training accuracy    {:.4} ({trained} images)", report.train_accuracy);
    println!(
        "validation accuracy  {:.4} ({held_out} images: {})",
        report.validation_accuracy, report.held_out
    );
    if let Some((test, count)) = &report.test {
        println!("test accuracy        {:.4} ({count} images)", test.accuracy);
    }
    Ok(())
}

/// At Ctrl-C the process ends as it would; what was trained lies in the checkpoint of the last epoch.
fn explain_interruption(args: &TrainArgs) -> Result<()> {
    let checkpoints = args.checkpoints.display().to_string();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async {
            if tokio::signal::ctrl_c().await.is_ok() {
                eprintln!(
                    "\ninterrupted; what was trained up to the last whole epoch, if there was one, is in \
                     {checkpoints}: the same command with --resume goes on"
                );
                std::process::exit(INTERRUPTED);
            }
        });
    })?;
    Ok(())
}
