//! What was in memory before a restart is read again: a replica that comes back does not begin with nothing.
//!
//! The names of the tasks whose packs are in memory are kept in a file beside the copies on this disk. After a start their
//! pointers are asked for and their packs read, a few at a time, while requests are answered already.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;

use super::blocking::blocking;
use super::error::Error;
use super::reloader::Reloader;
use crate::files;
use crate::pack::TaskId;

/// Tasks read at once: requests come first.
const AT_ONCE: usize = 4;
/// How long a store that is away is waited for before a task is asked about again, and how often.
const PAUSE: Duration = Duration::from_secs(1);
const TRIES: usize = 120;
/// Most names in the file.
const MOST: usize = 65_536;
/// Largest file that is read, bytes: no name has more than 64.
const LARGEST: u64 = MOST as u64 * 65;
/// The part of the memory for packs that is filled: one in so many stays free for what is asked first.
const ROOM: u64 = 8;

impl Reloader {
    /// Reads the packs of the tasks that `file` names, then keeps it up to date every `interval`, until the future is
    /// dropped. The file is left alone until all are read: another stop must not lose them.
    pub async fn recall(self: &Arc<Self>, file: PathBuf, interval: Duration) {
        let from = file.clone();
        let names = work(move || read(&from)).await.unwrap_or_else(|error| {
            tracing::warn!(file = %file.display(), %error, "what was in memory before is not known");
            BTreeSet::new()
        });
        self.read_again(names.iter().cloned().collect()).await;
        let mut written = names;
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let names = self.catalog.in_memory(MOST);
            if names == written {
                continue;
            }
            let (to, text) = (file.clone(), text(&names));
            match work(move || files::write_atomically(&to, text.as_bytes())).await {
                Ok(()) => written = names,
                Err(error) => {
                    tracing::warn!(file = %file.display(), %error, "what is in memory is not noted")
                }
            }
        }
    }

    async fn read_again(self: &Arc<Self>, names: Vec<TaskId>) {
        let count = names.len();
        let reads = names.into_iter().map(|task| async move { self.read_one_again(&task).await });
        let mut reads = futures::stream::iter(reads).buffer_unordered(AT_ONCE);
        let (mut read, mut failed) = (0, 0);
        while let Some(outcome) = reads.next().await {
            match outcome {
                Ok(is_read) => read += usize::from(is_read),
                Err(error) => {
                    failed += 1;
                    tracing::debug!(%error, "not read again");
                }
            }
        }
        if count > 0 {
            tracing::info!(tasks = count, read, failed, "packs that were in memory before are there again");
        }
    }

    /// Reads a task's pack, unless it is there or has no place. It gives its stored answers when it is asked.
    async fn read_one_again(&self, task: &TaskId) -> Result<bool, Error> {
        for _ in 1..TRIES {
            match self.learn(task).await {
                Err(Error::Source { error, .. }) if error.is_passing() => tokio::time::sleep(PAUSE).await,
                Err(error) => return Err(error),
                Ok(()) => break,
            }
        }
        self.learn(task).await?;
        if !self.catalog.contains(task) || !self.catalog.has_room(ROOM) {
            return Ok(false);
        }
        let is_fresh = self.catalog.resolve(task).await?.is_fresh;
        self.metrics.packs.packs_recalled.inc_by(u64::from(is_fresh));
        Ok(is_fresh)
    }
}

/// Waits for the disk.
async fn work<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn text(names: &BTreeSet<TaskId>) -> String {
    names.iter().map(|task| format!("{task}\n")).collect()
}

/// The names in a file; none where there is no file.
fn read(file: &Path) -> io::Result<BTreeSet<TaskId>> {
    let bytes = match fs::metadata(file) {
        Ok(data) if data.len() > LARGEST => {
            return Err(io::Error::other(format!("{} bytes: at most {LARGEST}", data.len())));
        }
        Ok(_) => fs::read_to_string(file)?,
        Err(error) if files::is_absence(&error) => return Ok(BTreeSet::new()),
        Err(error) => return Err(error),
    };
    let name = |line: &str| line.parse().map_err(|reason| io::Error::other(format!("{line:?}: {reason}")));
    bytes.lines().take(MOST).map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("resident");
        assert!(read(&file).unwrap().is_empty());
        let names: BTreeSet<TaskId> = ["a.one", "b", "c-2"].map(|name| name.parse().unwrap()).into();
        files::write_atomically(&file, text(&names).as_bytes()).unwrap();
        assert_eq!(read(&file).unwrap(), names);
        fs::write(&file, "a\n../b\n").unwrap();
        assert!(read(&file).unwrap_err().to_string().contains("../b"));
    }
}
