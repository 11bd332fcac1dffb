//! `server train-task`.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use mimi_server::errors;
use mimi_server::pack::{self, TaskId};
use mimi_server::shelf::{Naming, STABLE, open_source};
use mimi_server::train::study::auto::{Automatic, Written};
use mimi_server::train::{Features, Outcome, Setup, train};

use super::automatic;
use super::backbone;
use super::judged;
use super::left_out::tell_left_out;
use super::progress::Reporter;
use super::publish::{archive, tell};
use super::waiting::wait_for;
use crate::cli::{Listed, TrainArgs, settings};

/// Exit status of a process that SIGINT ended: 128 and the signal's number.
const INTERRUPTED: i32 = 130;

/// Trains one task, or those of a file, and writes their packs.
pub fn run(args: TrainArgs) -> Result<()> {
    explain_interruption(&args)?;
    if args.many.tasks_file.is_none() {
        args.check_alone()?;
    }
    let mut setup = Setup::new(backbone::resident(&args.runtime, &args.runtime.training())?);
    if args.many.tasks_file.is_none() {
        return one(&setup, &args);
    }
    setup.features = Some(Arc::new(Features::new(args.many.feature_memory << 20)));
    many(&setup, args.listed()?)
}

/// Trains listed tasks; one that fails does not stop the rest.
fn many(setup: &Setup, tasks: Vec<Listed>) -> Result<()> {
    let (count, mut failed) = (tasks.len(), 0);
    for (number, Listed { line, args }) in tasks.into_iter().enumerate() {
        println!("task {} of {count}, {}", number + 1, args.task.as_deref().unwrap_or_default());
        if let Err(error) = one(setup, &args) {
            failed += 1;
            eprintln!("error: line {line}: {}", errors::once(&*error));
        }
    }
    ensure!(failed == 0, "{failed} of {count} tasks were not trained");
    Ok(())
}

fn one(setup: &Setup, args: &TrainArgs) -> Result<()> {
    let options = args.options()?;
    let folder = options.adapters.join(options.task.as_str());
    if let Some(version) = existing(args, &folder)? {
        println!("{} has a version already", folder.display());
        let folder = folder.join(version.to_string());
        return catch_up(args.publish.as_deref(), &folder, &options.task);
    }
    let setup = Setup { limits: args.images.limits.limits(), ..setup.clone() };
    let mut reporter = Reporter::of(options.images.problem.score());
    let Written { folder, refused } = match args.auto.auto {
        true => chosen(automatic::train(&setup, args, &mut reporter)?, args),
        false => {
            let outcome = train(&setup, &options, &mut |progress| reporter.show(progress));
            reporter.end();
            trained(outcome?, args)
        }
    };
    // One that was held back stays here.
    let source = args.publish.as_deref().filter(|_| refused.is_none());
    source.map_or(Ok(()), |source| publish_to(source, &folder, &options.task))
}

/// Tells of a training.
fn trained(outcome: Outcome, args: &TrainArgs) -> Written {
    tell_left_out(&outcome.left_out, args.images.walk.list_skipped.as_deref());
    show(&outcome);
    Written { folder: outcome.folder, refused: outcome.refused }
}

/// Tells of a choice. Where an earlier process wrote the pack, what that scored is in the pack's report.
fn chosen(made: Automatic, args: &TrainArgs) -> Written {
    let Automatic { found, report, written, outcome } = made;
    match outcome {
        Some(outcome) => drop(trained(outcome, args)),
        None => println!("{}", written.folder.display()),
    }
    automatic::show(&found, &report);
    written
}

/// The newest version that is there, for which the task is skipped.
fn existing(args: &TrainArgs, folder: &Path) -> Result<Option<u64>> {
    if !args.many.skip_existing || !folder.try_exists()? {
        return Ok(None);
    }
    Ok(pack::versions(folder)?.pop())
}

/// Publishes a version of a skipped task: the run that trained it may have ended before it could. A source that has the
/// task stays as it is: its label may have been moved since, and its versions may be newer.
fn catch_up(source: Option<&str>, folder: &Path, task: &TaskId) -> Result<()> {
    let Some(source) = source else { return Ok(()) };
    let pointer = wait_for(async {
        let source = open_source(source, &settings(), None)?;
        source.pointer(task).await.with_context(|| source.name())
    })?;
    if pointer.is_some_and(|pointer| !pointer.versions.is_empty()) {
        println!("{source} has {task} already");
        return Ok(());
    }
    publish_to(source, folder, task)
}

/// Publishes a version as the stable one.
fn publish_to(source: &str, folder: &Path, task: &TaskId) -> Result<()> {
    let archive = archive(folder)?;
    let published = wait_for(async {
        let source = open_source(source, &settings(), None)?;
        let naming = Naming { version: None, label: Some(STABLE.to_owned()) };
        source.publish(task, archive.into(), naming).await.with_context(|| source.name())
    })?;
    tell(task.as_str(), &published);
    Ok(())
}

fn show(outcome: &Outcome) {
    let (accuracies, images) = (outcome.accuracies, outcome.images);
    println!("{}", outcome.folder.display());
    if let Some(reason) = &outcome.refused {
        println!("not published       {reason}");
    }
    let name = |part: &str| format!("{:<20}", format!("{part} {}", outcome.problem.score()));
    println!("{} {:.4} ({} images)", name("training"), accuracies.train, images.trained);
    let (score, count) = (accuracies.held_out, images.held_out);
    println!("{} {score:.4} ({count} images: {})", name("validation"), outcome.held_out);
    if let Some(test) = &outcome.test {
        println!("{} {:.4} ({} images)", name("test"), test.measure.accuracy, test.images);
    }
    for (part, answers) in [("validation", &outcome.answers), ("test", &outcome.test_answers)] {
        judged::show(part, answers);
    }
}

/// Ctrl-C ends the process as usual; the checkpoint of the last epoch holds the state.
fn explain_interruption(args: &TrainArgs) -> Result<()> {
    let checkpoints = args.checkpoints.display().to_string();
    // A choice always goes on.
    let again =
        if args.auto.auto { "the same command goes on" } else { "the same command with --resume goes on" };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    std::thread::Builder::new().name("signals".into()).spawn(move || {
        runtime.block_on(async {
            if tokio::signal::ctrl_c().await.is_ok() {
                eprintln!(
                    "\ninterrupted; what was trained up to the last whole epoch, if there was one, is in \
                     {checkpoints}: {again}"
                );
                std::process::exit(INTERRUPTED);
            }
        });
    })?;
    Ok(())
}
