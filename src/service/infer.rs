//! Images under a task, with everything that the task gives of them.

use std::iter;
use std::sync::Arc;
use std::time::Instant;

use futures::future::try_join_all;

use super::ask::{Picture, Terms};
use super::error::Error;
use super::handle::Service;
use super::maker::Maker;
use super::prepare::Given;
use super::spent::Spent;
use crate::pack::{Pack, TaskId};
use crate::reload::Pinned;

/// Images under one task, whose outputs are wanted as they are.
pub struct AskOutputs {
    /// The task, pinned before the images came.
    pub task: Pinned,
    /// The images.
    pub images: Vec<Picture>,
    /// Whether their features are wanted too.
    pub wants_features: bool,
    /// On what terms; predictions are not wanted.
    pub terms: Terms,
}

/// What a task gives of images.
#[derive(Debug)]
pub struct Outputs {
    /// The task.
    pub task: TaskId,
    /// The version that answered.
    pub version: u64,
    /// Its pack, which says what the outputs mean.
    pub pack: Arc<Pack>,
    /// One for each image.
    pub images: Vec<Output>,
    /// What made them.
    pub maker: Maker,
    /// What it cost.
    pub spent: Spent,
}

/// What a task gives of one image.
#[derive(Debug)]
pub struct Output {
    /// `[C]`.
    pub logits: Vec<f32>,
    /// `[D]`, where it was wanted.
    pub feature: Option<Vec<f32>>,
}

impl Service {
    /// The outputs of a task for images. The first image that fails fails the request.
    ///
    /// # Errors
    /// When there are too few or too many images, rows are not admitted, or an image cannot be prepared or run in time.
    pub async fn infer(&self, ask: AskOutputs) -> Result<Outputs, Error> {
        let (task, started) = (ask.task.clone(), Instant::now());
        let given = self.outputs(ask).await;
        self.ended(&task, given.is_ok(), started.elapsed());
        given
    }

    async fn outputs(&self, ask: AskOutputs) -> Result<Outputs, Error> {
        let AskOutputs { task, images, wants_features, terms } = ask;
        self.check_images(images.len())?;
        let places = self.admit(&terms, iter::repeat_n(&task, images.len()))?;
        let images = images.into_iter().enumerate().map(|(index, picture)| Given { index, picture });
        let rows = images
            .zip(places)
            .map(|(image, place)| self.output(image, &task, place, (&terms, wants_features)));
        let found = try_join_all(rows).await?;
        let spent = found.iter().fold(Spent::default(), |spent, (_, one)| spent.join(*one));
        let images = found.into_iter().map(|(output, _)| output).collect();
        let maker = self.maker(Some(&task));
        Ok(Outputs { task: task.task, version: task.version, pack: task.pack, images, maker, spent })
    }
}
