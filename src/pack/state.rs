//! Whether a version has changed, without reading it.

use std::io;
use std::path::Path;

use super::{CONFIG_FILE, WEIGHTS_FILE};
use crate::files::{Disk, FileState, is_absence};

/// Sizes, times and inodes of a version's files; none for a missing one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionState {
    /// The folder's device and inode.
    folder: Option<(u64, u64)>,
    /// Manifest and weights.
    files: [Option<FileState>; 2],
}

impl VersionState {
    /// Looks at the version in `dir`.
    ///
    /// # Errors
    /// When the system cannot tell. A missing file is not an error.
    pub fn of(disk: &dyn Disk, dir: &Path) -> io::Result<Self> {
        let folder = look(disk, dir)?.map(|state| (state.device, state.inode));
        let files = [look(disk, &dir.join(CONFIG_FILE))?, look(disk, &dir.join(WEIGHTS_FILE))?];
        Ok(Self { folder, files })
    }

    /// Whether the version's folder is there at all.
    pub fn has_folder(&self) -> bool {
        self.folder.is_some()
    }

    /// Whether both files are there.
    pub fn has_files(&self) -> bool {
        self.files.iter().all(Option::is_some)
    }
}

fn look(disk: &dyn Disk, path: &Path) -> io::Result<Option<FileState>> {
    match disk.state(path) {
        Ok(state) => Ok(Some(state)),
        Err(error) if is_absence(&error) => Ok(None),
        Err(error) => Err(error),
    }
}
