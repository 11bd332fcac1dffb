//! Images under one task.

use std::time::Instant;
use std::{iter, slice};

use futures::future::try_join_all;

use super::answer::Answered;
use super::ask::Ask;
use super::error::Error;
use super::handle::Service;
use super::prepare::Given;
use super::spent::Spent;

impl Service {
    /// Classifies images under one task. The first image that fails fails the request.
    ///
    /// # Errors
    /// When there are too few or too many images, rows are not admitted, or an image cannot be prepared or run in time.
    pub async fn classify(&self, ask: Ask) -> Result<Answered, Error> {
        let (task, started) = (ask.task.clone(), Instant::now());
        let answered = self.classified(ask).await;
        self.ended(&task, answered.is_ok(), started.elapsed());
        answered
    }

    async fn classified(&self, ask: Ask) -> Result<Answered, Error> {
        let Ask { task, images, terms } = ask;
        self.check_images(images.len())?;
        let places = self.admit(&terms, iter::repeat_n(&task, images.len()))?;
        let one = |image, place| {
            let scores = self.score(image, slice::from_ref(&task), [place], &terms);
            async { scores.await?.tasks.into_iter().next().unwrap_or_else(|| Err(Error::missing_row())) }
        };
        let images = images.into_iter().enumerate().map(|(index, bytes)| Given::encoded(index, bytes));
        let scored = try_join_all(images.zip(places).map(|(image, place)| one(image, place))).await?;
        let mut spent = Spent::default();
        let mut images = Vec::with_capacity(scored.len());
        for scored in scored {
            spent = spent.join(scored.spent);
            images.push(scored.said);
        }
        let maker = self.maker(Some(&task));
        Ok(Answered { task: task.task, version: task.version, images, maker, spent })
    }

    pub(super) fn check_images(&self, count: usize) -> Result<(), Error> {
        let limit = self.shared.options.max_images;
        if count == 0 || count > limit {
            return Err(Error::Invalid(format!("{count} image(s): expected 1 to {limit}")));
        }
        Ok(())
    }
}
