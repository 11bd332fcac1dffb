//! A version that comes as one archive: verified aside, then published to the source, then live.

use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::blocking::blocking;
use super::error::Error;
use super::reloader::Reloader;
use crate::audit::{Event, Who};
use crate::engine;
use crate::files;
use crate::pack::{self, TaskId};
use crate::shelf::{self, Archive, Digest, Done, Folder, Incoming, Naming, PackSource, STABLE};

/// Beside what the pack of a body is unpacked, in the folder of packs or of copies.
const RECEIVED: &str = "received";
/// Age from which what was unpacked counts as left by a crash: no verification lasts so long.
const ABANDONED: Duration = Duration::from_secs(3600);

impl Reloader {
    /// Removes what servers left that were killed while they verified a body.
    pub async fn sweep_received(&self) {
        let received = self.catalog.root().join(RECEIVED);
        // A folder that cannot be listed is told of where packs are looked for.
        let _ = blocking(move || files::sweep(&received, ABANDONED, SystemTime::now())).await;
    }

    /// What a version of a task is written to as it comes, on the disk of the packs.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub async fn incoming(&self, task: &TaskId) -> Result<Incoming, Error> {
        let root = self.catalog.root().to_owned();
        blocking(move || Incoming::new(&root)).await?.map_err(|error| source_error(task, error))
    }

    /// Publishes a version that came as a `.mipack`, once it has given its stored answers here, and has it answer. The same
    /// bytes under the same number change nothing.
    ///
    /// # Errors
    /// [`Error::Refused`] where the number cannot be this version's, and the reason why the catalog was left as it was.
    pub async fn receive_archive(
        &self,
        task: &TaskId,
        version: u64,
        archive: Archive,
        by: &Who,
    ) -> Result<Digest, Error> {
        let received = self.verify_and_publish(task, (version, archive), by).await;
        received.inspect_err(|error| self.note_refused(by, task, Some(version), error))
    }

    pub(super) async fn verify_and_publish(
        &self,
        task: &TaskId,
        (version, archive): (u64, Archive),
        by: &Who,
    ) -> Result<Digest, Error> {
        if let Some(over) = self.catalog.one_too_many(task) {
            return Err(Error::OverLimit { task: task.clone(), over });
        }
        self.verify_archive(task, archive.clone()).await?;
        let source: Arc<dyn PackSource> = match self.catalog.store() {
            Some(store) => Arc::clone(store) as _,
            None => Arc::new(Folder::new(self.catalog.root().to_owned())),
        };
        let naming = Naming { version: Some(version), label: Some(STABLE.to_owned()) };
        let published = source.publish(task, archive, naming).await.map_err(|e| source_error(task, e))?;
        self.read_pointer(task).await?;
        self.bring_live(task, (version, published.done), by).await?;
        Ok(published.digest)
    }

    /// Has the version answer that the source says is to answer: one that was published, or another one that somebody else
    /// published meanwhile.
    async fn bring_live(&self, task: &TaskId, (version, done): (u64, Done), by: &Who) -> Result<(), Error> {
        // Taken now: all publishing waits for it, and a source may be slow.
        let mut attempts = self.attempts.lock().await;
        // A folder may have newer versions that are still being copied.
        let is_own = done.is_change() && self.catalog.store().is_none();
        let wanted = if is_own { version } else { self.wanted(task).await? };
        if self.catalog.live(task) == Some(wanted) {
            if wanted == version && done.is_change() {
                // Whoever looks at the source was faster, and does not know who asked.
                self.note(Some(by), &Event::Published { task: task.to_string(), version });
            }
            return Ok(());
        }
        let state = self.state_of(task, wanted).await;
        attempts.forget(task);
        let published = self.publish(task, (wanted, state), &mut attempts, Some(by)).await;
        // What is wrong with somebody else's version is in the task's status.
        if wanted == version { published } else { Ok(()) }
    }

    /// Unpacks an archive aside and has its pack give its stored answers.
    async fn verify_archive(&self, task: &TaskId, archive: Archive) -> Result<(), Error> {
        let (base, disk) = (self.catalog.base().clone(), Arc::clone(self.catalog.disk()));
        let aside = files::beside(&self.catalog.root().join(RECEIVED));
        let read = blocking(move || {
            let name = Path::new("the body");
            let read = pack::unpack_unsynced(&mut BufReader::new(archive.reader()), name, &aside)
                .and_then(|()| pack::read_with(&*disk, &aside, &base));
            // Best effort: what is left has a name that scans ignore.
            let _ = std::fs::remove_dir_all(&aside);
            read
        });
        let (pack, self_test) = read.await??;
        let pack = Arc::new(pack);
        self.engine.prepare(pack.modules).await.map_err(|_| engine::Error::CompilerLost)??;
        self.test_once(task, &pack, self_test).await.map(drop)
    }
}

/// What a source says, in this module's words.
pub fn source_error(task: &TaskId, error: shelf::Error) -> Error {
    match error {
        shelf::Error::Refused { task, reason } => Error::Refused { task, reason },
        shelf::Error::Pack(error) => Error::Pack(error),
        shelf::Error::ReadOnly(what) => {
            Error::Refused { task: task.clone(), reason: format!("{what} can only be read") }
        }
        error => Error::Source { task: task.clone(), error: Arc::new(error) },
    }
}
