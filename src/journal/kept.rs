//! A journal of which a number of bytes is kept.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::log::{Journal, Options};
use super::medium::SystemMedium;
use super::mend::mend;
use super::name::Boot;
use super::prune::{Keep, prune};
use super::state::State;
use super::time::day;
use crate::metrics::Metrics;

/// A journal whose oldest files go, and whose lines are dropped and counted where the disk is behind.
#[derive(Debug)]
pub struct Kept {
    journal: Journal,
    state: Arc<State>,
    family: &'static str,
    folder: PathBuf,
    boot: Boot,
    keep: Keep,
    /// How many files were begun when old ones were last looked for.
    pruned: u32,
}

impl Kept {
    /// Opens a family's journal and mends what a crash left. At most `bytes` are kept, and a line is on the disk after
    /// `sync`.
    ///
    /// # Errors
    /// When the folder can be neither made nor read.
    pub fn open(
        family: &'static str,
        folder: &Path,
        (bytes, sync): (u64, Duration),
        metrics: &Metrics,
    ) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        mend(folder, family)?;
        let (state, boot) = (State::new(family, metrics), Boot::random());
        let options = Options {
            folder: folder.to_owned(),
            family,
            boot: boot.clone(),
            // A tenth of what is kept, so that deleting a file leaves most.
            file_bytes: (bytes / 10).clamp(1 << 16, 64 << 20),
            sync: SignedDuration::try_from(sync).unwrap_or(SignedDuration::MAX),
        };
        let journal = Journal::new(options, Box::new(SystemMedium), Arc::clone(&state), Timestamp::now());
        let keep = Keep { bytes: Some(bytes), days: None };
        Ok(Self { journal, state, family, folder: folder.to_owned(), boot, keep, pruned: u32::MAX })
    }

    /// What is counted and shown of it.
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// Who writes.
    pub fn boot(&self) -> &Boot {
        &self.boot
    }

    /// Whether the next line would be dropped.
    pub fn is_full(&self) -> bool {
        self.journal.is_full()
    }

    /// Holds a line until it is written; drops it where there is no room.
    pub fn push(&mut self, line: &[u8]) {
        if self.is_full() {
            self.state.drop_lines(1);
        } else {
            self.journal.push(line, Timestamp::now());
        }
    }

    /// Writes what is held, and deletes old files when another was begun.
    pub fn run(&mut self) {
        self.journal.run(Timestamp::now());
        if self.pruned != self.journal.begun() {
            self.pruned = self.journal.begun();
            let today = day(Timestamp::now());
            if let Err(error) = prune(&self.folder, self.family, &self.boot, self.keep, today) {
                tracing::warn!(%error, "old {} files could not be looked for", self.family);
            }
        }
    }

    /// Writes what is held for the last time.
    pub fn finish(&mut self) {
        self.journal.finish(Timestamp::now());
        if !self.journal.is_settled() {
            tracing::error!("the end of the {} log could not be written", self.family);
        }
    }
}
