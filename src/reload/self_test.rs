//! Whether a pack gives its stored answers on the engine that serves it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::{BoxFuture, FutureExt, Shared};

use super::{Error, Reloader, blocking};
use crate::catalog::Resolved;
use crate::engine::{self, Row};
use crate::image;
use crate::pack::{self, Pack, SelfTest, TaskId, VersionState};

/// How often a version whose files change under the reader is read for one request.
const READINGS: usize = 3;

type Check = Shared<BoxFuture<'static, Result<(), Arc<Error>>>>;

/// Checks under way, by the pack's digest: everybody who asks for one pack waits for one check.
#[derive(Default)]
pub(super) struct Checks(Mutex<HashMap<String, Check>>);

impl Checks {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Check>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reloader {
    /// The live version of a task with its pack, which has given its stored answers: one that is read for the first time
    /// gives them before it answers. One that does not is withdrawn, and the next older one takes its place.
    ///
    /// # Errors
    /// [`Error::Folder`] when the task has no version to serve, and what kept the check from ending.
    pub async fn pin(self: &Arc<Self>, task: &TaskId) -> Result<Resolved, Error> {
        let mut readings = 0;
        loop {
            let resolved = self.catalog.resolve(task).await?;
            let (version, pack) = (resolved.version, &resolved.pack);
            if self.has_passed(pack) {
                return Ok(resolved);
            }
            if self.options.verify_late {
                if resolved.is_fresh {
                    self.verify_late(task.clone(), version, Arc::clone(pack));
                }
                return Ok(resolved);
            }
            match self.check(task, version, pack).await {
                Ok(()) => return Ok(resolved),
                Err(error) if error.is_of_self_test() => self.withdraw(task, version, &error).await,
                // Its files are others by now, or gone: whatever is live then is read.
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

    fn has_passed(&self, pack: &Pack) -> bool {
        pack.manifest.self_test.images == 0 || self.verdicts.contains(&pack.digest)
    }

    /// Has a version give its stored answers after it has begun to answer.
    fn verify_late(self: &Arc<Self>, task: TaskId, version: u64, pack: Arc<Pack>) {
        let reloader = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(error) = reloader.check(&task, version, &pack).await
                && error.is_of_self_test()
            {
                reloader.withdraw(&task, version, &error).await;
            }
        });
    }

    /// The check of a pack, begun by whoever asks first; it goes on when nobody waits any more.
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
        let (again, self_test, _) = self.read(task, version).await?;
        if again.digest != pack.digest {
            return Err(Error::Changed { task: task.clone(), version });
        }
        self.test_once(task, pack, self_test).await.map(|_| ())
    }

    async fn withdraw(&self, task: &TaskId, version: u64, error: &Error) {
        let state = self.catalog.served_state(task).map(|served| served.state);
        let now = std::time::Instant::now();
        self.attempts.lock().await.failed((task, version), state, error.kind(), now);
        self.catalog.withdraw(task, version, &error.to_string()).await;
    }

    /// A version with its stored inputs and answers, from disk, and how its files looked.
    pub(super) async fn read(
        &self,
        task: &TaskId,
        version: u64,
    ) -> Result<(Arc<Pack>, SelfTest, VersionState), Error> {
        let (folder, backbone) = (self.catalog.folder(task, version), Arc::clone(self.catalog.backbone()));
        let disk = Arc::clone(self.catalog.disk());
        let state = |disk: &dyn crate::files::Disk, folder: &std::path::Path| {
            VersionState::of(disk, folder).map_err(pack::Error::io(folder))
        };
        let read = blocking(move || {
            let before = state(&*disk, &folder)?;
            let read = pack::read_with(&*disk, &folder, &backbone)?;
            Ok::<_, pack::Error>((read, before, state(&*disk, &folder)?))
        });
        let ((pack, self_test), before, after) = read.await??;
        if before != after {
            return Err(Error::Changed { task: task.clone(), version });
        }
        Ok((Arc::new(pack), self_test, after))
    }

    /// As [`self_test`](Self::self_test), unless the same pack has passed before, here or at an earlier start.
    pub(super) async fn test_once(
        &self,
        task: &TaskId,
        pack: &Arc<Pack>,
        test: SelfTest,
    ) -> Result<f32, Error> {
        let count = |outcome| self.metrics.self_tests.with_label_values(&[outcome]).inc();
        if test.images.is_empty() {
            return Ok(0.0);
        }
        if self.verdicts.contains(&pack.digest) {
            count("remembered");
            return Ok(0.0);
        }
        let tested = self.self_test(task, pack, test).await;
        count(if tested.is_ok() { "passed" } else { "failed" });
        if tested.is_ok() {
            let (verdicts, digest) = (Arc::clone(&self.verdicts), pack.digest.clone());
            blocking(move || verdicts.insert(&digest)).await?;
        }
        tested
    }

    /// Whether a pack must give its stored answers to the last digits: not if it was trained at another precision.
    pub(super) fn is_strict(&self, pack: &Pack) -> bool {
        pack.manifest.precision == self.engine.precision()
    }

    /// Runs the stored inputs and gives the largest difference from the stored logits, relative to the largest of each
    /// image. If not [strict](Self::is_strict), any finite logits pass.
    pub(super) async fn self_test(
        &self,
        task: &TaskId,
        pack: &Arc<Pack>,
        test: SelfTest,
    ) -> Result<f32, Error> {
        let tolerance = if self.is_strict(pack) { pack.manifest.self_test.tolerance } else { f32::MAX };
        let mut worst = 0.0f32;
        for (index, (bytes, expected)) in test.images.into_iter().zip(test.logits).enumerate() {
            let (limits, preprocessing) = (self.limits, pack.manifest.preprocessing.clone());
            let pixels = blocking(move || {
                image::decode(&bytes, &limits).and_then(|decoded| preprocessing.apply(&decoded))
            });
            let pixels = pixels.await?.map_err(|source| Error::SelfTestImage { index, source })?;
            let logits = self.run(task, pack, pixels).await?;
            let largest = expected.iter().fold(1.0f32, |most, logit| most.max(logit.abs()));
            let allowed = tolerance * largest;
            for (class, (found, expected)) in logits.into_iter().zip(expected).enumerate() {
                let difference = (found - expected).abs();
                // A NaN differs from everything.
                if !found.is_finite() || difference > allowed {
                    return Err(Error::SelfTest { index, class, found, expected, allowed });
                }
                worst = worst.max(difference / largest);
            }
        }
        Ok(worst)
    }

    /// One row on the engine. It is let in beside those that the limit counts: requests that were let in wait for it.
    async fn run(&self, task: &TaskId, pack: &Arc<Pack>, pixels: Vec<f32>) -> Result<Vec<f32>, Error> {
        let permit = self.engine.admit_beside()?;
        let row = Row {
            task: task.clone(),
            pixels: pixels.into(),
            image: None,
            pack: Arc::clone(pack),
            deadline: None,
        };
        let answer = self.engine.submit(row, permit).await.map_err(|_| engine::Error::WorkerLost)??;
        Ok(answer.logits.to_vec())
    }
}
