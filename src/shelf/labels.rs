//! `labels.json` in a task's folder: which version answers, where it is not simply the newest.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::Error;
use super::pointer::{STABLE, labels};
use crate::files::{self, Disk, is_absence};
use crate::pack::TaskId;

/// Name of the file.
pub const LABELS_FILE: &str = "labels.json";
/// Largest file that is read, bytes.
const MAX_BYTES: u64 = 16 << 10;
/// Version of the format.
const FORMAT: u32 = 1;

/// Versions by label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Labels {
    format: u32,
    /// Grows by one with every change.
    pub seq: u64,
    /// Versions by label.
    #[serde(deserialize_with = "labels")]
    pub labels: BTreeMap<String, u64>,
}

/// Why labels cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LabelsError {
    /// The system failed.
    #[error("{LABELS_FILE}: {0}")]
    Io(#[from] io::Error),
    /// The file is not well-formed.
    #[error("{LABELS_FILE}: {0}")]
    Wrong(String),
}

impl LabelsError {
    /// As an error about a task.
    pub(super) fn of(self, task: &TaskId) -> Error {
        match self {
            Self::Io(source) => Error::Io { path: format!("{task}/{LABELS_FILE}").into(), source },
            Self::Wrong(reason) => {
                Error::Pointer { task: task.clone(), reason: format!("{LABELS_FILE}: {reason}") }
            }
        }
    }
}

impl Labels {
    pub(super) fn new(seq: u64, labels: BTreeMap<String, u64>) -> Self {
        Self { format: FORMAT, seq, labels }
    }

    /// Reads the labels in a task's folder; none if there is no such file.
    ///
    /// # Errors
    /// When it cannot be read, or is not well-formed.
    pub fn read(disk: &dyn Disk, folder: &Path) -> Result<Option<Self>, LabelsError> {
        let bytes = match disk.read(&folder.join(LABELS_FILE), MAX_BYTES + 1) {
            Ok(bytes) => bytes,
            Err(error) if is_absence(&error) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        if bytes.len() as u64 > MAX_BYTES {
            return Err(LabelsError::Wrong(format!("it has more than {MAX_BYTES} bytes")));
        }
        let labels: Self =
            serde_json::from_slice(&bytes).map_err(|error| LabelsError::Wrong(error.to_string()))?;
        if labels.format != FORMAT {
            let reason = format!("format {} is not known; this program reads {FORMAT}", labels.format);
            return Err(LabelsError::Wrong(reason));
        }
        Ok(Some(labels))
    }

    /// Writes them into a task's folder: beside, then renamed.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(self).map_err(io::Error::other)?;
        files::write_atomically(&folder.join(LABELS_FILE), &text)?;
        files::sync_folder(folder)
    }

    /// The version that answers.
    pub fn stable(&self) -> Option<u64> {
        self.labels.get(STABLE).copied()
    }
}
