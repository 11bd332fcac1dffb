//! A version read from disk with its stored answers.

use std::path::Path;
use std::sync::Arc;

use super::error::Error;
use super::reloader::Reloader;
use crate::files::Disk;
use crate::pack::{self, Pack, SelfTest, TaskId, VersionState};

/// A version as it was read.
pub(super) struct Reading {
    pub(super) pack: Arc<Pack>,
    /// Its stored inputs and answers, which are not kept in memory with the pack.
    pub(super) self_test: SelfTest,
    /// How its files looked.
    pub(super) state: VersionState,
}

impl Reloader {
    /// Reads a version.
    ///
    /// # Errors
    /// [`Error::Pack`], and [`Error::Changed`] when its files changed meanwhile.
    pub(super) async fn read(&self, task: &TaskId, version: u64) -> Result<Reading, Error> {
        let reading = self.catalog.read_version(task, version, |disk, folder, base| {
            let before = state(disk, folder)?;
            let (pack, self_test) = pack::read_with(disk, folder, base)?;
            let state = state(disk, folder)?;
            let reading = Reading { pack: Arc::new(pack), self_test, state };
            Ok((state == before).then_some(reading))
        });
        reading.await?.ok_or_else(|| Error::Changed { task: task.clone(), version })
    }
}

impl Reloader {
    /// The stored answers of the very files that a pack was read from, which are not expanded again for that.
    ///
    /// # Errors
    /// As [`Reloader::read`].
    pub(super) async fn answers(&self, task: &TaskId, version: u64, pack: &Pack) -> Result<SelfTest, Error> {
        let digest = pack.digest.clone();
        let reading = self.catalog.read_version(task, version, move |disk, folder, base| {
            let (stored, self_test) = pack::read_stored_with(disk, folder, base)?;
            Ok((stored.digest() == digest).then_some(self_test))
        });
        reading.await?.ok_or_else(|| Error::Changed { task: task.clone(), version })
    }
}

fn state(disk: &dyn Disk, folder: &Path) -> Result<VersionState, pack::Error> {
    VersionState::of(disk, folder).map_err(pack::Error::io(folder))
}
