//! `server verify`: everything in a source is read, checked and gives its stored answers.

use std::io::IsTerminal;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use indicatif::ProgressBar;
use mimi_server::pack::TaskId;
use mimi_server::reload::Reloader;
use mimi_server::serve::Server;
use mimi_server::shelf::{PackSource, Pointer};
use mimi_server::text;

use super::waiting::wait_for;
use crate::cli::VerifyArgs;

/// Longest reason in the table, characters.
const REASON: usize = 120;

/// Verifies, and prints a table of what is wrong.
pub fn run(args: &VerifyArgs) -> Result<()> {
    args.runtime.check_devices()?;
    let own = args.own_cache()?;
    let config = args.config(own.as_deref())?;
    let verified = wait_for(async {
        let source = args.open()?;
        let server = Server::build(config).await?;
        let verified = verify(args, &*source, server.reloader()).await.with_context(|| source.name());
        server.stop().await?;
        verified
    });
    if let Some(own) = own {
        // Best effort: copies made for this run.
        let _ = std::fs::remove_dir_all(own);
    }
    let Verified { tasks, versions, wrong } = verified?;
    if !wrong.is_empty() {
        let head = ["task", "version", "labels", "wrong"].map(str::to_owned).to_vec();
        let rows: Vec<Vec<String>> = [head].into_iter().chain(wrong.iter().cloned()).collect();
        print!("{}", text::columns(&rows, rows[0].len()));
    }
    println!("{tasks} tasks, {versions} versions: {} good, {} wrong", versions - wrong.len(), wrong.len());
    ensure!(wrong.is_empty(), "{} of {versions} versions are wrong", wrong.len());
    Ok(())
}

/// What was found.
#[derive(Default)]
struct Verified {
    tasks: usize,
    versions: usize,
    /// Rows of the table.
    wrong: Vec<Vec<String>>,
}

async fn verify(args: &VerifyArgs, source: &dyn PackSource, reloader: &Arc<Reloader>) -> Result<Verified> {
    let tasks = if args.task.is_empty() { source.tasks().await? } else { args.task.clone() };
    let bar = if std::io::stderr().is_terminal() {
        ProgressBar::new(tasks.len() as u64)
    } else {
        ProgressBar::hidden()
    };
    let mut verified = Verified { tasks: tasks.len(), ..Verified::default() };
    for task in bar.wrap_iter(tasks.iter()) {
        bar.set_message(task.to_string());
        match source.pointer(task).await {
            Ok(Some(pointer)) => {
                let named = |version: &u64| !args.stable_only || pointer.stable() == Some(*version);
                for version in pointer.versions.keys().filter(|version| named(version)) {
                    verified.versions += 1;
                    if let Err(error) = reloader.verify_version(task, *version).await {
                        if error.is_of_store() {
                            return Err(error.into());
                        }
                        let about = (version.to_string(), labels(&pointer, *version));
                        verified.wrong.push(row(task, about, &error.to_string()));
                    }
                }
            }
            Ok(None) => verified.add(row(task, unknown(), "it has no version")),
            Err(error) if error.is_passing() => return Err(error.into()),
            Err(error) => verified.add(row(task, unknown(), &error.to_string())),
        }
    }
    bar.finish_and_clear();
    Ok(verified)
}

/// Version and labels of what has neither.
fn unknown() -> (String, String) {
    ("-".to_owned(), "-".to_owned())
}

fn labels(pointer: &Pointer, version: u64) -> String {
    let labels = pointer.labels.iter().filter(|(_, named)| **named == version);
    let labels: Vec<&str> = labels.map(|(label, _)| label.as_str()).collect();
    if labels.is_empty() { "-".to_owned() } else { labels.join(",") }
}

impl Verified {
    /// Adds a task whose versions are not known.
    fn add(&mut self, row: Vec<String>) {
        self.versions += 1;
        self.wrong.push(row);
    }
}

fn row(task: &TaskId, (version, labels): (String, String), reason: &str) -> Vec<String> {
    vec![task.to_string(), version, labels, reason.chars().take(REASON).collect()]
}
