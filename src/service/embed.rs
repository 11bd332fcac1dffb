//! Features of images, under a task or of the frozen backbone.

use std::iter;
use std::time::Instant;

use futures::future::try_join_all;

use super::answer::Features;
use super::ask::AskFeatures;
use super::error::Error;
use super::handle::Service;
use super::prepare::Given;
use super::spent::Spent;

impl Service {
    /// The pooled feature of each image. The first image that fails fails the request.
    ///
    /// # Errors
    /// When there are too few or too many images, rows are not admitted, or an image cannot be prepared or run in time.
    pub async fn embed(&self, ask: AskFeatures) -> Result<Features, Error> {
        let (task, started) = (ask.task.clone(), Instant::now());
        let found = self.features(ask).await;
        if let Some(task) = task {
            self.ended(&task, found.is_ok(), started.elapsed());
        }
        found
    }

    async fn features(&self, ask: AskFeatures) -> Result<Features, Error> {
        let AskFeatures { task, images, terms } = ask;
        self.check_images(images.len())?;
        let pinned = task.as_ref().unwrap_or(&self.shared.bare);
        let places = self.admit(&terms, iter::repeat_n(pinned, images.len()))?;
        let images = images.into_iter().enumerate().map(|(index, bytes)| Given::encoded(index, bytes));
        let rows = images.zip(places).map(|(image, place)| self.feature(image, pinned, place, &terms));
        let found = try_join_all(rows).await?;
        let spent = found.iter().fold(Spent::default(), |spent, one| spent.join(one.spent));
        let images = found.into_iter().map(|one| one.values).collect();
        let (maker, backbone) = (self.maker(task.as_ref()), self.backbone().name.clone());
        let task = task.map(|pinned| (pinned.task, pinned.version));
        Ok(Features { task, backbone, images, maker, spent })
    }
}
