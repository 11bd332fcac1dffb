//! `server study`.

use std::cell::RefCell;
use std::env;
use std::fs::{self, File};
use std::io;

use anyhow::{Context, Result, ensure};
use mimi_server::files::write_atomically;
use mimi_server::train::study::{
    Against, Protocol, Run, Studied, effects, findings, forest, runs, scatter, standings, study,
};
use mimi_server::train::{Progress, Setup};
use sha2::{Digest, Sha256};

use super::backbone;
use super::compare::told;
use super::failures::none_failed;
use super::progress::Reporter;
use crate::cli::StudyArgs;

/// Makes the runs of a protocol that are missing, and writes the report.
pub fn run(args: &StudyArgs) -> Result<()> {
    let protocol = args.protocol()?;
    fs::create_dir_all(&args.out).with_context(|| args.out.display().to_string())?;
    let found = match args.report {
        true => Studied { runs: runs(&args.out)?, failures: Vec::new() },
        false => made(args, &protocol)?,
    };
    present(args, &protocol, &found.runs)?;
    none_failed(&found.failures)
}

fn made(args: &StudyArgs, protocol: &Protocol) -> Result<Studied> {
    let options = args.options(&own_digest()?)?;
    let named = &args.runtime.backbone;
    ensure!(
        *named == protocol.backbone,
        "the protocol is for {}: give --backbone {0} instead of {named}",
        protocol.backbone
    );
    let resident = backbone::resident(&args.runtime, &args.runtime.training())?;
    let setup = Setup { limits: args.limits.limits(), ..Setup::new(resident) };
    let reporter = RefCell::new(Reporter::new());
    let mut observe = |progress: Progress<'_>| {
        if matches!(progress, Progress::Note(_) | Progress::Images { .. } | Progress::Step(_)) {
            reporter.borrow_mut().show(progress);
        }
    };
    let tell = &mut |run: &Run| reporter.borrow().line(&told(run));
    let found = study(&setup, &options, &mut observe, tell);
    reporter.borrow_mut().end();
    found
}

/// SHA-256 of this program's file.
fn own_digest() -> Result<String> {
    let path = env::current_exe().context("finding this program's file")?;
    let mut digest = Sha256::new();
    let mut file = File::open(&path).with_context(|| path.display().to_string())?;
    io::copy(&mut file, &mut digest).with_context(|| path.display().to_string())?;
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn present(args: &StudyArgs, protocol: &Protocol, runs: &[Run]) -> Result<()> {
    let text = findings(protocol, runs)?;
    write(args, "report.md", &text)?;
    write(args, "gains.svg", &forest(&effects(protocol, runs), &protocol.title)?)?;
    for one in standings(runs) {
        let title =
            one.set.as_ref().map_or(protocol.title.clone(), |set| format!("{}: {set}", protocol.title));
        let before = one.set.as_ref().map(|set| format!("{set}-")).unwrap_or_default();
        for against in Against::ALL {
            let name = format!("{before}{}.svg", against.name());
            write(args, &name, &scatter(&one, against, &title)?)?;
        }
    }
    print!("{text}");
    Ok(())
}

fn write(args: &StudyArgs, name: &str, text: &str) -> Result<()> {
    let path = args.out.join(name);
    write_atomically(&path, text.as_bytes()).with_context(|| path.display().to_string())
}
