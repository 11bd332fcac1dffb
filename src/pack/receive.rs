//! A version that comes as bytes: written beside, checked, and renamed into its place.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{Base, CONFIG_FILE, Error, WEIGHTS_FILE, read_with};
use crate::files::{self, Disk};

/// Age from which a folder that is not whole counts as left by a crash: no upload takes so long.
const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// The files of a version.
#[derive(Clone, Debug)]
pub struct Upload {
    /// The manifest.
    pub config: bytes::Bytes,
    /// The tensors.
    pub weights: bytes::Bytes,
}

/// Writes a version of a task under this number, which must be free, once it has been read as any pack is. Returns its
/// folder.
///
/// # Errors
/// As [`read_with`], and when the folder cannot be written or the number is taken; then nothing is left behind.
pub fn receive(
    disk: &dyn Disk,
    task: &Path,
    version: u64,
    upload: &Upload,
    base: &Base,
) -> Result<PathBuf, Error> {
    let is_new = !task.exists();
    fs::create_dir_all(task).map_err(Error::io(task))?;
    let next = task.join("next");
    files::sweep(&next, ABANDONED, SystemTime::now()).map_err(Error::io(task))?;
    let (partial, target) = (files::beside(&next), task.join(version.to_string()));
    let written = write(&partial, upload).and_then(|()| read_with(disk, &partial, base));
    let placed = written.and_then(|_| files::rename_to_free(&partial, &target).map_err(Error::io(&target)));
    if placed.is_err() {
        // Best effort: the first error is the one to report.
        let _ = fs::remove_dir_all(&partial);
        let _ = is_new.then(|| fs::remove_dir(task));
    }
    placed.map(|()| target)
}

fn write(folder: &Path, Upload { config, weights }: &Upload) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(Error::io(folder))?;
    for (name, bytes) in [(WEIGHTS_FILE, weights), (CONFIG_FILE, config)] {
        let path = folder.join(name);
        files::write_atomically(&path, bytes).map_err(Error::io(&path))?;
    }
    Ok(())
}
