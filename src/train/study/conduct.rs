//! A study: the runs of a protocol, set by set.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::arms::Places;
use super::asked::{MethodsOptions, Turn};
use super::effects::effects;
use super::ledger::Ledger;
use super::machine::Machine;
use super::methods::compare_methods;
use super::protocol::{Arm, Protocol};
use super::run::Run;
use crate::train::progress::{Observer, Progress};
use crate::train::setup::Setup;

/// What every file of results begins and ends with.
const PREFIX: &str = "results";
const SUFFIX: &str = ".jsonl";

/// A study by one of several processes.
#[derive(Clone, Debug)]
pub struct StudyOptions {
    /// What is run.
    pub protocol: Protocol,
    /// Folder of the sets of images.
    pub data: PathBuf,
    /// Folder of results.
    pub out: PathBuf,
    /// Which of the runs this process makes.
    pub turn: Turn,
    /// What makes them.
    pub machine: Machine,
}

/// Makes the runs that are missing; `observe` hears how they go, `done` what each gave.
///
/// # Errors
/// When the backbone is another, a set is not there, an arm cannot be trained, or a result cannot be kept. A run that fails is
/// told of; the others go on, and the stop rule waits for it.
pub fn study(
    setup: &Setup,
    options: &StudyOptions,
    observe: &mut Observer<'_>,
    done: &mut dyn FnMut(&Run),
) -> Result<Studied> {
    let StudyOptions { protocol, data, out, turn, machine } = options;
    let name = &setup.resident.config().name;
    ensure!(*name == protocol.backbone, "the protocol is for {}, the backbone is {name}", protocol.backbone);
    for set in &protocol.sets {
        let folder = data.join(&set.name);
        ensure!(folder.is_dir(), "{} is not there", folder.display());
    }
    let own = options.results();
    let mut failures = Vec::new();
    for (place, set) in protocol.sets.iter().enumerate() {
        let runs = runs(out)?;
        let missing = protocol.missing(&runs);
        if missing > 0 && protocol.stop.is_some_and(|stop| place >= stop.after) {
            observe(Progress::Note(&waits(missing)));
            break;
        }
        let arms = protocol.needed(place, &effects(&protocol.first_sets(), &runs));
        if arms.is_empty() {
            continue;
        }
        let elsewhere = others(out, &own)?;
        let strangers = files(out)?.into_iter().filter(|file| *file != own);
        let (data, results, machine) = (data.clone(), own.clone(), machine.clone());
        let places = Places { data, results, elsewhere, turn: *turn, machine };
        // The same epochs whichever arms are left.
        let all: Vec<&Arm> = protocol.arms.iter().collect();
        let whole = protocol.on(set, &all, &places)?;
        whole.check(&setup.resident)?;
        let multiple = whole.together(&setup.resident);
        let own = MethodsOptions { multiple, ..protocol.on(set, &arms, &places)? };
        let identity = own.identity(setup)?;
        strangers.into_iter().try_for_each(|file| Ledger::check(&file, &identity))?;
        failures.extend(compare_methods(setup, &own, observe, done)?.failures);
    }
    Ok(Studied { runs: runs(out)?, failures })
}

/// What a study has so far.
#[derive(Debug)]
pub struct Studied {
    /// Every run, whichever process made it.
    pub runs: Vec<Run>,
    /// Runs that failed in this process, and why.
    pub failures: Vec<String>,
}

impl StudyOptions {
    fn results(&self) -> PathBuf {
        let Turn { index, count } = self.turn;
        let name = if count > 1 { format!("-{index}-of-{count}") } else { String::new() };
        self.out.join(format!("{PREFIX}{name}{SUFFIX}"))
    }
}

fn waits(missing: usize) -> String {
    format!(
        "{missing} run(s) on the first sets are missing, which the stop rule needs: run this command again when the other \
         shards have made them"
    )
}

/// Every run in a folder of results, each once.
///
/// # Errors
/// When a file cannot be read, or two runs have one place and would not give the same.
pub fn runs(out: &Path) -> Result<Vec<Run>> {
    let mut all: Vec<(PathBuf, Run)> = Vec::new();
    for (file, run) in looked(files(out)?)? {
        match all.iter().find(|(_, known)| known.plan.is_cell_of(&run.plan)) {
            Some((place, known)) => agree((place, known), (&file, &run))?,
            None => all.push((file, run)),
        }
    }
    Ok(all.into_iter().map(|(_, run)| run).collect())
}

/// Refuses two runs with one place that differ in what they are.
fn agree((place, known): (&Path, &Run), (file, run): (&Path, &Run)) -> Result<()> {
    if let Some(reason) = known.plan.differs(&run.plan)? {
        bail!("{} and {} hold different comparisons: {reason}", place.display(), file.display());
    }
    Ok(())
}

/// The runs of all files but one, with their files.
fn others(out: &Path, own: &Path) -> Result<Vec<(PathBuf, Run)>> {
    looked(files(out)?.into_iter().filter(|file| file != own).collect())
}

fn looked(files: Vec<PathBuf>) -> Result<Vec<(PathBuf, Run)>> {
    let of = |file: PathBuf| {
        let runs = Ledger::look(&file)?;
        Ok(runs.into_iter().map(|run| (file.clone(), run)).collect::<Vec<_>>())
    };
    let all = files.into_iter().map(of).collect::<Result<Vec<_>>>()?;
    Ok(all.into_iter().flatten().collect())
}

fn files(out: &Path) -> Result<Vec<PathBuf>> {
    let context = || out.display().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir(out).with_context(context)? {
        let path = entry.with_context(context)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(PREFIX) && name.ends_with(SUFFIX) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
