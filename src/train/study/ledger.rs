//! The file of results: a JSON line a run, behind one line that says which comparison it is.
//!
//! A line is written at once and flushed to the disk. A process that dies in the middle of a line loses that run only:
//! what follows the last newline is cut away when the file is opened again.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::run::{Plan, Purpose, Run};
use crate::train::fingerprint::Fingerprint;

/// All runs so far, and their file, locked for this process.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    file: File,
    /// The first line, until it is written: with the first run.
    heading: Option<Heading>,
    runs: Vec<Run>,
    /// Runs of other files of the same comparison, with their files.
    elsewhere: Vec<(PathBuf, Run)>,
}

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
struct Heading {
    comparison: Value,
}

impl Ledger {
    /// Opens the runs of an earlier process of the same comparison; none if there is no file.
    ///
    /// # Errors
    /// When the file cannot be read, another process writes it, or it belongs to another comparison.
    pub(super) fn open(path: &Path, comparison: &Fingerprint) -> Result<Self> {
        let context = || path.display().to_string();
        let options = OpenOptions::new().read(true).append(true).create(true).open(path);
        let mut file = options.with_context(context)?;
        ensure!(file.try_lock().is_ok(), "{} is being written by another process", path.display());
        let mut text = Vec::new();
        file.read_to_end(&mut text).with_context(context)?;
        let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
        let torn = text.split_off(whole);
        let mut ledger =
            Self { path: path.to_owned(), file, heading: None, runs: Vec::new(), elsewhere: Vec::new() };
        ledger.read(&text, comparison)?;
        // Only once the file is known to be this comparison's.
        if !torn.is_empty() {
            ledger.file.set_len(whole as u64).with_context(context)?;
            ledger.file.seek(SeekFrom::End(0)).with_context(context)?;
        }
        Ok(ledger)
    }

    fn read(&mut self, text: &[u8], comparison: &Fingerprint) -> Result<()> {
        let place = |line: usize| format!("{}, line {}", self.path.display(), line + 1);
        let mut lines = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).enumerate();
        let Some((number, first)) = lines.next() else {
            self.heading = Some(Heading { comparison: serde_json::to_value(comparison)? });
            return Ok(());
        };
        Heading::check(first, &self.path, comparison).with_context(|| place(number))?;
        let read =
            |(number, line): (usize, &[u8])| serde_json::from_slice(line).with_context(|| place(number));
        self.runs = lines.map(read).collect::<Result<_>>()?;
        Ok(())
    }

    /// The same with runs that other files hold.
    pub(super) fn beside(self, elsewhere: Vec<(PathBuf, Run)>) -> Self {
        Self { elsewhere, ..self }
    }

    /// The runs of a file, of whatever comparison; none if there is no file. What follows the last newline is no run yet.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn look(path: &Path) -> Result<Vec<Run>> {
        let text = text(path)?;
        let whole = text.iter().rposition(|&byte| byte == b'\n').unwrap_or(0);
        let lines = text[..whole].split(|&byte| byte == b'\n').enumerate();
        let lines = lines.skip(1).filter(|(_, line)| !line.is_empty());
        let read = |(number, line): (usize, &[u8])| {
            serde_json::from_slice(line).with_context(|| format!("{}, line {}", path.display(), number + 1))
        };
        lines.map(read).collect()
    }

    /// Checks that a file, if there is one, belongs to this comparison.
    ///
    /// # Errors
    /// When it cannot be read, or belongs to another.
    pub(super) fn check(path: &Path, comparison: &Fingerprint) -> Result<()> {
        let text = text(path)?;
        let Some(end) = text.iter().position(|&byte| byte == b'\n') else { return Ok(()) };
        Heading::check(&text[..end], path, comparison)
    }

    /// Every run of the file.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// The run that was planned, if it was made.
    ///
    /// # Errors
    /// When a result has its place that was made with other settings or images.
    pub(super) fn find(&self, plan: &Plan) -> Result<Option<&Run>> {
        let own = self.runs.iter().map(|run| (&self.path, run));
        let all = own.chain(self.elsewhere.iter().map(|(path, run)| (path, run)));
        for (path, run) in all.filter(|(_, run)| run.plan.is_cell_of(plan)) {
            match plan.differs(&run.plan)? {
                None => return Ok(Some(run)),
                Some(_) if plan.purpose == Purpose::Tuning => {}
                Some(reason) => bail!("{} holds another comparison: {reason}", path.display()),
            }
        }
        Ok(None)
    }

    /// Adds a run.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn add(&mut self, run: Run) -> Result<()> {
        if let Some(heading) = &self.heading {
            self.write(heading)?;
            self.heading = None;
        }
        self.write(&run)?;
        self.runs.push(run);
        Ok(())
    }

    fn write(&self, line: &impl Serialize) -> Result<()> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        let written = (&self.file).write_all(&bytes).and_then(|()| self.file.sync_data());
        written.with_context(|| self.path.display().to_string())
    }
}

impl Heading {
    fn check(line: &[u8], path: &Path, comparison: &Fingerprint) -> Result<()> {
        let heading: Self = serde_json::from_slice(line).with_context(|| path.display().to_string())?;
        match comparison.refuses(&heading.comparison) {
            Some(reason) => bail!("{} holds another comparison: {reason}", path.display()),
            None => Ok(()),
        }
    }
}

/// What a file holds; nothing if there is none.
fn text(path: &Path) -> Result<Vec<u8>> {
    match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        read => read.with_context(|| path.display().to_string()),
    }
}
