//! How many bytes of copies there are, counted by all processes that share them.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use super::error::Error;

/// Name of the file in the folder of the copies.
const FILE: &str = "bytes";
/// Digits of the largest count.
const DIGITS: u64 = 20;

/// The count, which nobody else changes while this value lives.
#[derive(Debug)]
pub(super) struct Tally {
    file: File,
    path: PathBuf,
}

impl Tally {
    /// Waits for its turn.
    ///
    /// # Errors
    /// When the disk fails.
    pub(super) fn lock(root: &Path) -> Result<Self, Error> {
        let path = root.join(FILE);
        let file = File::options().create(true).truncate(false).read(true).write(true).open(&path);
        let file = file.map_err(Error::io(&path))?;
        file.lock().map_err(Error::io(&path))?;
        Ok(Self { file, path })
    }

    /// The count; none where it cannot be read, as after a crash: then somebody must count.
    ///
    /// # Errors
    /// When the disk fails.
    pub(super) fn read(&mut self) -> Result<Option<u64>, Error> {
        let mut text = Vec::new();
        self.file.rewind().map_err(Error::io(&self.path))?;
        (&self.file).take(DIGITS + 1).read_to_end(&mut text).map_err(Error::io(&self.path))?;
        Ok(std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok()))
    }

    /// Changes the count.
    ///
    /// # Errors
    /// When the disk fails.
    pub(super) fn write(&mut self, bytes: u64) -> Result<(), Error> {
        let written = self.file.set_len(0).and_then(|()| self.file.rewind());
        written.and_then(|()| write!(self.file, "{bytes}")).map_err(Error::io(&self.path))
    }
}
