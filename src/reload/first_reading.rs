//! A pack's first reading: a cold version is verified before it answers.

use std::sync::Arc;
use std::time::Instant;

use futures::future::FutureExt;

use super::archived::source_error;
use super::checks::Check;
use super::error::Error;
use super::reloader::Reloader;
use crate::catalog::Resolved;
use crate::engine;
use crate::pack::{Pack, TaskId};

/// Most readings for one request of a version whose files change under the reader.
const READINGS: usize = 3;

/// A task as one request sees it, from door to answer.
#[derive(Clone, Debug)]
pub struct Pinned {
    /// The task.
    pub task: TaskId,
    /// The version that answers.
    pub version: u64,
    /// Its pack.
    pub pack: Arc<Pack>,
}

impl Reloader {
    /// A task's live version with its pack, which has given its stored answers. One that is read for the first time gives
    /// them before it answers, unless the options say later. One that does not is withdrawn, and the next older one takes
    /// its place.
    ///
    /// # Errors
    /// [`Error::Folder`] when the task has no version to serve, and what kept the check from ending.
    pub async fn pin(self: &Arc<Self>, task: &TaskId) -> Result<Pinned, Error> {
        self.learn(task).await?;
        let resolved = self.verified(task).await?;
        self.after_reading(task, &resolved);
        let Resolved { version, pack, .. } = resolved;
        Ok(Pinned { task: task.clone(), version, pack })
    }

    /// What follows a live pack's first reading, whoever had it read.
    pub(super) fn after_reading(&self, task: &TaskId, resolved: &Resolved) {
        if resolved.is_fresh {
            // This request runs on a covering program; later ones on one that skips what the pack leaves out.
            self.engine.suggest(resolved.pack.modules);
            self.warn_of_precision(task, &resolved.pack);
        }
    }

    /// As [`Reloader::pin`], for a version that need not be live. It gives its stored answers before its first own, too.
    ///
    /// # Errors
    /// As [`Reloader::pin`], and when the task has no such version.
    pub async fn pin_version(self: &Arc<Self>, task: &TaskId, version: u64) -> Result<Pinned, Error> {
        self.learn(task).await?;
        if self.catalog.live(task) == Some(version) {
            let pinned = self.pin(task).await?;
            // Another is live by now where this one was withdrawn or replaced meanwhile.
            if pinned.version == version {
                return Ok(pinned);
            }
        }
        self.checked(task, version).await
    }

    /// Reads a version and has it give its stored answers, whether or not it is live; nothing is withdrawn.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn verify_version(self: &Arc<Self>, task: &TaskId, version: u64) -> Result<(), Error> {
        self.learn(task).await?;
        // Apart from reading it: a store that fails says nothing of the version.
        let _held = match self.catalog.store() {
            None => None,
            Some(store) => Some(store.place(task, version).await.map_err(|e| source_error(task, e))?),
        };
        self.checked(task, version).await.map(drop)
    }

    async fn checked(self: &Arc<Self>, task: &TaskId, version: u64) -> Result<Pinned, Error> {
        let Resolved { pack, is_fresh, .. } = self.catalog.resolve_version(task, version).await?;
        if self.has_passed(&pack) {
            self.cover(&pack).await?;
        } else if let Some(error) = self.failed.reason(&pack.digest).await {
            return Err(Error::Shared(error));
        } else {
            self.check(task, version, &pack).await.map_err(Error::Shared)?;
        }
        if is_fresh {
            self.warn_of_precision(task, &pack);
        }
        Ok(Pinned { task: task.clone(), version, pack })
    }

    async fn verified(self: &Arc<Self>, task: &TaskId) -> Result<Resolved, Error> {
        let mut readings = 0;
        loop {
            let resolved = self.catalog.resolve(task).await?;
            let (version, pack) = (resolved.version, &resolved.pack);
            if self.has_passed(pack) {
                self.cover(pack).await?;
                return Ok(resolved);
            }
            if self.options.verify_late {
                self.verify_late(task, version, pack).await;
                self.cover(pack).await?;
                return Ok(resolved);
            }
            match self.check(task, version, pack).await {
                Ok(()) => return Ok(resolved),
                Err(error) if error.is_of_self_test() => self.withdraw(task, version, &error).await,
                // Its files have changed or are gone: read whatever is live now.
                Err(error)
                    if matches!(*error, Error::Changed { .. } | Error::Pack(_)) && readings < READINGS =>
                {
                    readings += 1;
                    self.catalog.forget(task, version).await;
                }
                Err(error) => return Err(Error::Shared(error)),
            }
        }
    }

    /// Waits until rows of the pack run beside all others, which takes a compilation where a form is new.
    async fn cover(&self, pack: &Pack) -> Result<(), Error> {
        Ok(self.engine.cover(pack.modules).await.map_err(|_| engine::Error::CompilerLost)??)
    }

    fn has_passed(&self, pack: &Pack) -> bool {
        pack.manifest.self_test.images == 0 || self.verdicts.contains(&pack.digest)
    }

    /// Checks a version after it has begun to answer, whoever had it read. Once it has failed, it is not asked for its
    /// answers again soon.
    async fn verify_late(self: &Arc<Self>, task: &TaskId, version: u64, pack: &Arc<Pack>) {
        if let Some(error) = self.failed.reason(&pack.digest).await {
            return self.withdraw(task, version, &error).await;
        }
        if self.checks.lock().contains_key(&pack.digest) {
            return;
        }
        // The check goes on, and what follows from it, where this request goes away.
        let check = self.check(task, version, pack);
        let (reloader, task) = (Arc::clone(self), task.clone());
        tokio::spawn(async move {
            if let Err(error) = check.await
                && error.is_of_self_test()
            {
                reloader.withdraw(&task, version, &error).await;
            }
        });
    }

    /// The check of a pack, started by the first request that asks. It continues even when no request waits
    /// any more.
    fn check(self: &Arc<Self>, task: &TaskId, version: u64, pack: &Arc<Pack>) -> Check {
        // Held until the check is entered, so that it cannot leave before.
        let mut checks = self.checks.lock();
        if let Some(check) = checks.get(&pack.digest) {
            return check.clone();
        }
        let (reloader, task, pack) = (Arc::clone(self), task.clone(), Arc::clone(pack));
        let digest = pack.digest.clone();
        let work = tokio::spawn(async move {
            let verified = reloader.verify(&task, version, &pack).await.map_err(Arc::new);
            if let Err(error) = &verified {
                reloader.failed.add(&pack.digest, error).await;
            }
            reloader.checks.lock().remove(&pack.digest);
            verified
        });
        let interrupted = |e: tokio::task::JoinError| Err(Arc::new(Error::Interrupted(e.to_string())));
        let check = async move { work.await.unwrap_or_else(interrupted) }.boxed().shared();
        checks.insert(digest, check.clone());
        check
    }

    async fn verify(&self, task: &TaskId, version: u64, pack: &Arc<Pack>) -> Result<(), Error> {
        let _turn = self.turns.acquire().await.map_err(|e| Error::Interrupted(e.to_string()))?;
        // The stored answers are not kept in memory with the pack; they must be those of the same files.
        let answers = self.answers(task, version, pack).await?;
        self.cover(pack).await?;
        self.test_once(task, pack, answers).await.map(|_| ())
    }

    async fn withdraw(&self, task: &TaskId, version: u64, error: &Error) {
        let state = self.catalog.served_state(task).map(|served| served.state);
        let now = Instant::now();
        self.attempts.lock().await.failed(task, version, state, error.kind(), now);
        self.catalog.withdraw(task, version, &error.to_string()).await;
    }
}
