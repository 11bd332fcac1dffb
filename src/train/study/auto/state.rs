//! What was measured so far, kept in a file, so that an interrupted choice goes on.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::choice::Standing;
use crate::files::write_atomically;
use crate::train::fingerprint::Fingerprint;
use crate::train::study::run::Cost;

/// A training that was made to choose by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The candidate.
    pub name: String,
    /// The rung, from 1; 0 of what is trained whole at once.
    pub rung: usize,
    /// Epochs, its trainings together.
    pub epochs: usize,
    /// Steps.
    pub steps: usize,
    /// What it gave, or why it gave nothing.
    pub result: Result<Measured, String>,
}

/// What a training gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Whether it was right, image by image: `1` or `0`.
    pub right: String,
    /// What it costs.
    pub cost: Cost,
    /// Seconds of the training in the process that ended it.
    pub train_seconds: f64,
    /// Seconds of one of its epochs there; 0 where it made none.
    pub epoch_seconds: f64,
    /// Seconds of all else: compiling, measuring and pricing.
    pub run_seconds: f64,
}

/// A rung that was begun.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Begun {
    /// Who takes part.
    pub names: Vec<String>,
    /// For how many epochs.
    pub epochs: usize,
    /// Epochs that are planned for the winner's own training.
    pub refit: usize,
}

/// Who was chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decided {
    /// Its name.
    pub name: String,
    /// Epochs of its own training, its trainings together; none where it is trained as it was tried.
    pub epochs: Option<usize>,
    /// Why it was chosen.
    pub reason: String,
}

/// A pack that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Folder of the new version.
    pub folder: PathBuf,
    /// Why it was not published but held back there.
    pub refused: Option<String>,
}

/// Everything that is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    identity: Value,
    /// Seconds that went by up to the last record.
    spent: f64,
    rungs: Vec<Begun>,
    records: Vec<Record>,
    /// Why candidates went no further, by their names.
    dropped: BTreeMap<String, String>,
    /// Who was chosen, once that was decided.
    decided: Option<Decided>,
    /// The winner's pack, once it was written.
    written: Option<Written>,
}

/// What was measured so far, and its file.
#[derive(Clone, Debug)]
pub struct State {
    path: PathBuf,
    kept: Kept,
}

impl Measured {
    /// What a choice looks at.
    pub fn standing(&self, is_head: bool) -> Standing {
        Standing {
            is_head,
            right: self.right.chars().map(|answer| answer == '1').collect(),
            flops_of_8: self.cost.flops_of_8,
            bytes: self.cost.pack_bytes.unwrap_or(u64::MAX),
        }
    }
}

impl Kept {
    fn new(identity: Value) -> Self {
        let (rungs, records, dropped) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { identity, spent: 0.0, rungs, records, dropped, decided: None, written: None }
    }
}

impl State {
    /// Reads what an earlier process of the same choice left; nothing if there is no file.
    ///
    /// # Errors
    /// When the file cannot be read or belongs to another choice.
    pub fn open(path: &Path, identity: &Fingerprint) -> Result<Self> {
        let context = || path.display().to_string();
        let kept = match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(context)?,
            Err(error) if error.kind() == ErrorKind::NotFound => Kept::new(serde_json::to_value(identity)?),
            Err(error) => return Err(error).with_context(context),
        };
        if let Some(reason) = identity.refuses(&kept.identity) {
            bail!("{} holds another choice: {reason}. Remove it to begin again", path.display());
        }
        Ok(Self { path: path.to_owned(), kept })
    }

    /// Seconds that earlier processes took.
    pub fn spent(&self) -> f64 {
        self.kept.spent
    }

    /// Every training so far.
    pub fn records(&self) -> &[Record] {
        &self.kept.records
    }

    /// A candidate's training on a rung, if it was made.
    pub fn find(&self, name: &str, rung: usize) -> Option<&Record> {
        self.kept.records.iter().find(|record| record.name == name && record.rung == rung)
    }

    /// A rung, from 1, if it was begun.
    pub fn rung(&self, rung: usize) -> Option<&Begun> {
        self.kept.rungs.get(rung.checked_sub(1)?)
    }

    /// Who was chosen, if that was decided.
    pub fn decided(&self) -> Option<&Decided> {
        self.kept.decided.as_ref()
    }

    /// The winner's pack, if it was written.
    pub fn written(&self) -> Option<&Written> {
        self.kept.written.as_ref()
    }

    /// Why a candidate went no further, if that was decided.
    pub fn dropped(&self, name: &str) -> Option<&str> {
        self.kept.dropped.get(name).map(String::as_str)
    }

    /// Begins the next rung.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn begin(&mut self, rung: Begun, spent: f64) -> Result<()> {
        self.kept.rungs.push(rung);
        self.write(spent)
    }

    /// Adds a training.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn add(&mut self, record: Record, spent: f64) -> Result<()> {
        self.kept.records.push(record);
        self.write(spent)
    }

    /// Says why candidates go no further.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn drop_out(&mut self, reasons: Vec<(String, String)>, spent: f64) -> Result<()> {
        self.kept.dropped.extend(reasons);
        self.write(spent)
    }

    /// Says who was chosen.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn decide(&mut self, decided: Decided, spent: f64) -> Result<()> {
        self.kept.decided = Some(decided);
        self.write(spent)
    }

    /// Says which pack was written, and of whom.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn publish(&mut self, decided: Decided, written: Written, spent: f64) -> Result<()> {
        self.kept.written = Some(written);
        self.decide(decided, spent)
    }

    /// Forgets every training: a choice that failed begins again.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn forget(&mut self, spent: f64) -> Result<()> {
        self.kept.records.clear();
        self.write(spent)
    }

    /// Removes the file: the choice is made and its pack is written.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(self) -> Result<()> {
        fs::remove_file(&self.path).with_context(|| self.path.display().to_string())
    }

    fn write(&mut self, spent: f64) -> Result<()> {
        self.kept.spent = spent;
        let context = || self.path.display().to_string();
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder).with_context(context)?;
        }
        write_atomically(&self.path, &serde_json::to_vec_pretty(&self.kept)?).with_context(context)
    }
}
