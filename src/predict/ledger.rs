//! What is written until the end. `OUT.partial` has a line an image, in order; `OUT.partial.json` says of what run. At the
//! end it becomes `OUT`, or `OUT` is made of it, and both go.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::question::Outcome;
use super::table;
use crate::files;

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A line of JSON an image.
    Jsonl,
    /// A line a prediction.
    Csv,
}

impl Format {
    /// By the name of a file.
    ///
    /// # Errors
    /// When it ends in neither `.jsonl` nor `.csv`.
    pub fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("jsonl") => Ok(Self::Jsonl),
            Some("csv") => Ok(Self::Csv),
            _ => bail!("{}: expected a name that ends in .jsonl or .csv", path.display()),
        }
    }
}

/// Of what run the lines are: another run must not go on with them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Identity {
    pub(super) tasks: Vec<String>,
    pub(super) top_k: usize,
    pub(super) logits: bool,
    /// Who answers: the server's address, or the backbone with its precision.
    pub(super) by: String,
    pub(super) images: usize,
    /// SHA-256 of the images' names and files.
    pub(super) names: String,
}

/// What tasks answered so far.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    versions: BTreeMap<String, u64>,
    pub(super) failed: usize,
    pub(super) answered: usize,
}

impl Tasks {
    /// Notes an image's answers. All lines are by the same versions.
    fn note(&mut self, results: &Value) -> Result<()> {
        for result in results.as_array().into_iter().flatten() {
            let (Some(task), Some(version)) = (result["task"].as_str(), result["version"].as_u64()) else {
                self.failed += 1;
                continue;
            };
            self.answered += 1;
            let known = *self.versions.entry(task.to_owned()).or_insert(version);
            ensure!(
                known == version,
                "task {task} is answered by version {version} now, and was by version {known}: lines of two versions are \
                 not mixed; begin again with another --out"
            );
        }
        Ok(())
    }
}

/// The lines of a run that is under way.
pub(super) struct Ledger {
    out: PathBuf,
    partial: PathBuf,
    about: PathBuf,
    file: File,
    /// How many images have their line.
    pub(super) done: usize,
    /// How many of those were at fault.
    pub(super) failed: usize,
    /// Answers of tasks, and how many of them are failures.
    pub(super) tasks: Tasks,
}

impl Ledger {
    /// Begins, or goes on after the last whole line.
    ///
    /// # Errors
    /// When the output is there already, another run writes it or had begun it, or a file cannot be read or written.
    pub(super) fn open(out: &Path, identity: &Identity) -> Result<Self> {
        let shown = out.display();
        let is_there = out.try_exists().with_context(|| shown.to_string())?;
        ensure!(!is_there, "{shown} is there already: give another --out, or remove it");
        let named = |end: &str| {
            let mut name = out.as_os_str().to_owned();
            name.push(end);
            PathBuf::from(name)
        };
        let (partial, about) = (named(".partial"), named(".partial.json"));
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&partial);
        let file = file.with_context(|| partial.display().to_string())?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => bail!("{}: another run writes it", partial.display()),
            Err(TryLockError::Error(error)) if error.kind() != ErrorKind::Unsupported => {
                return Err(error).with_context(|| partial.display().to_string());
            }
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        check(&about, identity, file.metadata()?.len() > 0)?;
        let mut ledger =
            Self { out: out.to_owned(), partial, about, file, done: 0, failed: 0, tasks: Tasks::default() };
        ledger.go_on(identity.images).with_context(|| ledger.partial.display().to_string())?;
        Ok(ledger)
    }

    /// Counts whole lines and cuts off what a crash left after them.
    fn go_on(&mut self, most: usize) -> Result<()> {
        let (mut whole, mut line) = (0_u64, Vec::new());
        let mut reader = BufReader::new(&self.file);
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line)?;
            let Some(value) =
                line.strip_suffix(b"\n").and_then(|line| serde_json::from_slice::<Value>(line).ok())
            else {
                break;
            };
            whole += read as u64;
            self.done += 1;
            match value.get("results") {
                Some(results) => self.tasks.note(results)?,
                None => self.failed += 1,
            }
        }
        drop(reader);
        ensure!(self.done <= most, "{} lines for {most} images", self.done);
        self.file.set_len(whole)?;
        self.file.seek(SeekFrom::Start(whole))?;
        Ok(())
    }

    /// Writes what became of the next image.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn write(&mut self, name: &str, outcome: Outcome) -> Result<()> {
        let line = match outcome {
            Outcome::Answered(results) => {
                self.tasks.note(&results)?;
                json!({ "image": name, "results": results })
            }
            Outcome::Refused { error, code } => {
                self.failed += 1;
                json!({ "image": name, "error": error, "code": code })
            }
        };
        let mut line = serde_json::to_vec(&line)?;
        line.push(b'\n');
        self.file.write_all(&line).with_context(|| self.partial.display().to_string())?;
        self.done += 1;
        Ok(())
    }

    /// Makes the output of the lines.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(super) fn finish(mut self, format: Format) -> Result<()> {
        let shown = || self.out.display().to_string();
        self.file.sync_all().with_context(shown)?;
        match format {
            Format::Jsonl => fs::rename(&self.partial, &self.out).with_context(shown)?,
            Format::Csv => {
                self.file.seek(SeekFrom::Start(0))?;
                let beside = files::beside(&self.out);
                let written = table::write(BufReader::new(&self.file), &beside);
                let made = written.and_then(|()| Ok(fs::rename(&beside, &self.out)?));
                if made.is_err() {
                    // What failed is told; the half of a table is of no use.
                    let _ = fs::remove_file(&beside);
                }
                made.with_context(shown)?;
                fs::remove_file(&self.partial)?;
            }
        }
        fs::remove_file(&self.about)?;
        Ok(())
    }
}

/// Whether lines that are there are of the same run; of a new one it is written down.
fn check(about: &Path, identity: &Identity, has_lines: bool) -> Result<()> {
    let shown = about.display();
    match fs::read(about) {
        Ok(bytes) => {
            let before: Identity = serde_json::from_slice(&bytes).with_context(|| shown.to_string())?;
            ensure!(
                before == *identity,
                "{shown}: a run with other tasks, images or options was begun: finish that one, remove \
                 both files that it left, or give another --out"
            );
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            ensure!(
                !has_lines,
                "{shown} is missing, which says of what run the lines beside it are: remove both"
            );
            files::write_atomically(about, &serde_json::to_vec_pretty(identity)?)
                .with_context(|| shown.to_string())
        }
        Err(error) => Err(error).with_context(|| shown.to_string()),
    }
}
