//! Whether a pack gives its stored answers on the engine that serves it.

use std::sync::Arc;

use super::blocking::blocking;
use super::error::Error;
use super::reloader::Reloader;
use crate::engine::{self, Pixels, Row, Share};
use crate::image;
use crate::pack::{Pack, SelfTest, TaskId};

impl Reloader {
    /// Runs [`self_test`](Self::self_test) unless the same pack has passed before, in this process or an earlier one.
    pub(super) async fn test_once(
        &self,
        task: &TaskId,
        pack: &Arc<Pack>,
        test: SelfTest,
    ) -> Result<f32, Error> {
        let count = |outcome| self.metrics.packs.self_tests.with_label_values(&[outcome]).inc();
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

    /// Whether a pack must give its stored answers to the last digits: only at the precision it was trained at.
    pub(super) fn is_strict(&self, pack: &Pack) -> bool {
        pack.manifest.precision == self.engine.precision()
    }

    /// Runs the stored inputs. Returns the largest difference from the stored logits, relative to each image's largest
    /// logit. If not [strict](Self::is_strict), any finite logits pass.
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
            let engine = self.engine.clone();
            let pixels = blocking(move || {
                let (canvas, decoded) = (engine.canvas()?, image::decode(&bytes, &limits));
                Ok::<_, engine::Error>(decoded.and_then(|decoded| canvas.pixels(&decoded, &preprocessing)))
            });
            let pixels = pixels.await??.map_err(|source| Error::SelfTestImage { index, source })?;
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

    /// Runs one of the server's own rows on the engine: no tenant pays for it. It is admitted beyond the limit, since
    /// admitted requests wait for it.
    async fn run(&self, task: &TaskId, pack: &Arc<Pack>, pixels: Pixels) -> Result<Vec<f32>, Error> {
        let permit = self.engine.admit_beside()?;
        let row = Row { share: Share::INTERNAL, ..Row::new(task.clone(), pixels, Arc::clone(pack)) };
        let answer = self.engine.submit(row, permit).await.map_err(|_| engine::Error::WorkerLost)??;
        Ok(answer.logits.to_vec())
    }
}
