//! What was in memory before a restart is read again: a replica that comes back does not begin with nothing.
//!
//! The names of the tasks whose packs are in memory are kept in a file beside the copies on this disk. After a start their
//! pointers are asked for and their packs read, a few at a time, while requests are answered already.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;

use super::blocking::blocking;
use super::error::Error;
use super::names;
use super::reloader::Reloader;
use crate::catalog;
use crate::pack::TaskId;

/// Tasks read at once: requests come first.
const AT_ONCE: usize = 4;
/// How long is waited after a failure that may pass, and how often a task is asked about.
const PAUSE: Duration = Duration::from_secs(1);
const TRIES: usize = 120;
/// The part of the memory for packs that is filled: one in so many stays free for what is asked first.
const ROOM: u64 = 8;

/// Tasks that were in memory before and are not there yet.
struct Owed {
    /// What the file said at the start.
    before: BTreeSet<TaskId>,
    left: Mutex<BTreeSet<TaskId>>,
}

/// What became of a task that was to be read again.
enum Outcome {
    /// Its pack is in memory: whether it was read for that.
    There(bool),
    /// It is published no more.
    Gone,
    /// The part of the memory that may be filled is full.
    Full,
    /// Something that may pass.
    Passing,
    /// Anything else.
    Failed,
}

impl Reloader {
    /// Reads the packs of the tasks that `file` names, and keeps it up to date every `interval`, until the future is
    /// dropped. A name stays in the file until its task is in memory, is published no more, or finds no room: another stop
    /// must not lose it.
    pub async fn recall(self: &Arc<Self>, file: PathBuf, interval: Duration) {
        let from = file.clone();
        let names = work(move || names::read(&from)).await.unwrap_or_else(|error| {
            tracing::warn!(file = %file.display(), %error, "what was in memory before is not known");
            BTreeSet::new()
        });
        let owed = Owed { before: names.clone(), left: Mutex::new(names) };
        tokio::join!(self.read_again(&owed), self.note_in_memory(&file, &owed, interval));
    }

    /// Keeps the file up to date. A failure is told once, and once more when it is another.
    async fn note_in_memory(&self, file: &Path, owed: &Owed, interval: Duration) {
        let (mut written, mut told) = (owed.before.clone(), None);
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let names = self.names(owed);
            if names == written {
                continue;
            }
            let (to, text) = (file.to_owned(), names::text(&names));
            match work(move || names::write(&to, &text)).await {
                Ok(()) => (written, told) = (names, None),
                Err(error) => {
                    let error = error.to_string();
                    if told.as_ref() != Some(&error) {
                        tracing::warn!(file = %file.display(), error, "what is in memory is not noted");
                    }
                    told = Some(error);
                }
            }
        }
    }

    /// The tasks in memory and those that are owed, at most [`names::MOST`]. They stand by name: the memory cannot say
    /// cheaply which was used last, so where it has shrunk the first names come back.
    fn names(&self, owed: &Owed) -> BTreeSet<TaskId> {
        // In this order, so that one which is read meanwhile is in either.
        let mut left = owed.lock().clone();
        let mut names = self.catalog.in_memory(names::MOST);
        left.retain(|task| !names.contains(task));
        owed.lock().retain(|task| !names.contains(task));
        let room = names::MOST - names.len();
        names.extend(left.into_iter().take(room));
        names
    }

    async fn read_again(&self, owed: &Owed) {
        let queue: VecDeque<(TaskId, usize)> = owed.lock().iter().map(|task| (task.clone(), 1)).collect();
        let count = queue.len();
        let queue = Mutex::new(queue);
        let reads = join_all((0..AT_ONCE).map(|_| self.read_some_again(&queue, owed))).await;
        if count > 0 {
            let read: usize = reads.into_iter().sum();
            tracing::info!(tasks = count, read, "packs that were in memory before are there again");
        }
    }

    /// Reads tasks of the queue until it is empty. One that fails in passing goes to its end: it delays no other for long.
    async fn read_some_again(&self, queue: &Mutex<VecDeque<(TaskId, usize)>>, owed: &Owed) -> usize {
        let lock = || queue.lock().unwrap_or_else(PoisonError::into_inner);
        let next = || lock().pop_front();
        let mut read = 0;
        while let Some((task, tries)) = next() {
            match self.read_one_again(&task).await {
                Outcome::There(is_fresh) => {
                    read += usize::from(is_fresh);
                    owed.lock().remove(&task);
                }
                Outcome::Gone => drop(owed.lock().remove(&task)),
                Outcome::Full => {
                    lock().clear();
                    owed.lock().clear();
                }
                Outcome::Passing if tries < TRIES => {
                    tokio::time::sleep(PAUSE).await;
                    lock().push_back((task, tries + 1));
                }
                Outcome::Passing | Outcome::Failed => {}
            }
        }
        read
    }

    /// Reads a task's pack, unless it is there or has no place. It gives its stored answers when it is asked.
    async fn read_one_again(&self, task: &TaskId) -> Outcome {
        self.catalog.settle().await;
        if !self.catalog.has_room(ROOM) {
            return Outcome::Full;
        }
        let resolved = async {
            self.learn(task).await?;
            Ok::<_, Error>(self.catalog.resolve(task).await?)
        };
        match resolved.await {
            Ok(resolved) => {
                self.after_reading(task, &resolved);
                self.metrics.packs.packs_recalled.inc_by(u64::from(resolved.is_fresh));
                Outcome::There(resolved.is_fresh)
            }
            Err(error) => {
                tracing::debug!(%error, "not read again");
                outcome(&error)
            }
        }
    }
}

impl Owed {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<TaskId>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for the disk.
async fn work<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn outcome(error: &Error) -> Outcome {
    match error.inner() {
        Error::Folder(catalog::Error::UnknownTask(_) | catalog::Error::Unloaded(_)) => Outcome::Gone,
        Error::Folder(catalog::Error::OutOfReach { .. }) | Error::Crowded { .. } => Outcome::Passing,
        error if error.is_of_store() => Outcome::Passing,
        _ => Outcome::Failed,
    }
}
