//! Where a version can be read on this disk.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A folder with a version's files. A copy of a store's pack is held: it is not removed while this value lives.
#[derive(Clone, Debug)]
pub struct Place {
    folder: PathBuf,
    held: Option<Arc<File>>,
}

impl Place {
    /// A folder of a folder of packs.
    pub fn of(folder: PathBuf) -> Self {
        Self { folder, held: None }
    }

    /// A copy, locked by an open file.
    pub(super) fn held(folder: PathBuf, lock: File) -> Self {
        Self { folder, held: Some(Arc::new(lock)) }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether it is a copy, which can be fetched again.
    pub fn is_copy(&self) -> bool {
        self.held.is_some()
    }
}
