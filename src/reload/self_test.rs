//! Whether a pack gives its stored answers on the engine that serves it.

use std::collections::BTreeSet;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Error, Reloader, blocking};
use crate::engine::{self, Row};
use crate::image;
use crate::pack::{self, Pack, SelfTest, TaskId};

impl Reloader {
    /// Has a version that was found at the start, and is now read for a request, give a stored answer; if it does not, it
    /// is withdrawn. The request does not wait, and of several stored answers one must do: after a restart every task
    /// is read for the first time.
    pub fn verify_soon(self: &Arc<Self>, task: &TaskId, version: u64) {
        if self.lock_verified().contains(&(task.clone(), version)) {
            return;
        }
        let (reloader, task) = (Arc::clone(self), task.clone());
        tokio::spawn(async move {
            // One at a time: they must take neither memory nor the engine from requests.
            let _turn = reloader.verifying.lock().await;
            if let Err(error @ (Error::SelfTest { .. } | Error::SelfTestImage { .. })) =
                reloader.verify(&task, version).await
            {
                reloader.failed.lock().await.entry(task.clone()).or_default().insert(version);
                reloader.catalog.withdraw(&task, version, &error.to_string()).await;
            }
        });
    }

    async fn verify(&self, task: &TaskId, version: u64) -> Result<(), Error> {
        let (pack, mut self_test) = self.read(task, version).await?;
        self_test.images.truncate(1);
        self.self_test(task, &pack, self_test).await?;
        self.lock_verified().insert((task.clone(), version));
        Ok(())
    }

    pub(super) fn lock_verified(&self) -> MutexGuard<'_, BTreeSet<(TaskId, u64)>> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A version with its stored inputs and answers, from disk.
    pub(super) async fn read(&self, task: &TaskId, version: u64) -> Result<(Arc<Pack>, SelfTest), Error> {
        let (folder, backbone) = (self.catalog.folder(task, version), Arc::clone(self.catalog.backbone()));
        let (pack, self_test) = blocking(move || pack::read(&folder, &backbone)).await??;
        Ok((Arc::new(pack), self_test))
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

    /// One row on the engine, waiting for room rather than failing under load.
    async fn run(&self, task: &TaskId, pack: &Arc<Pack>, pixels: Vec<f32>) -> Result<Vec<f32>, Error> {
        const RETRY: Duration = Duration::from_millis(20);
        let permit = loop {
            match self.engine.admit(1) {
                Ok(mut permits) => break permits.pop(),
                Err(engine::Error::Overloaded { .. }) => tokio::time::sleep(RETRY).await,
                Err(other) => return Err(other.into()),
            }
        };
        let permit = permit.ok_or(engine::Error::WorkerLost)?;
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
