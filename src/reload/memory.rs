//! Which folder of packs was served last, from one start to the next.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::files;

/// Name of the file that holds it.
const FILE: &str = "folders.json";

/// A folder of packs as it was last trusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Remembered {
    /// What its marker said.
    pub(super) marker: String,
    /// How many tasks it had.
    pub(super) tasks: usize,
}

type Folders = BTreeMap<String, Remembered>;

/// What was kept about `root` in the folder `state`.
///
/// # Errors
/// When it cannot be read, or is not what was written.
pub(super) fn recall(state: &Path, root: &Path) -> io::Result<Option<Remembered>> {
    Ok(read(&state.join(FILE))?.remove(&name(root)))
}

/// Keeps what is known about `root`.
///
/// # Errors
/// When it cannot be written.
pub(super) fn remember(state: &Path, root: &Path, known: Remembered) -> io::Result<()> {
    let file = state.join(FILE);
    let mut folders = read(&file)?;
    if folders.get(&name(root)) == Some(&known) {
        return Ok(());
    }
    folders.insert(name(root), known);
    fs::create_dir_all(state)?;
    files::write_atomically(&file, &serde_json::to_vec_pretty(&folders)?)
}

fn read(file: &Path) -> io::Result<Folders> {
    match fs::read(file) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Folders::new()),
        Err(error) => Err(error),
    }
}

fn name(root: &Path) -> String {
    let absolute: PathBuf = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
    absolute.to_string_lossy().into_owned()
}
