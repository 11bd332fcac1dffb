//! From pixels to predictions: one row on the engine for each task.

use std::slice;
use std::sync::Arc;

use tracing::field::Empty;

use super::ask::Terms;
use super::bill::Place;
use super::error::Error;
use super::handle::Service;
use super::infer::Output;
use super::predictions::{Predictions, predictions};
use super::prepare::{Given, Input, Prepared};
use super::spent::Spent;
use crate::engine::{self, Answer, Row, SharedBlocks};
use crate::reload::Pinned;

/// What one task says of one image.
pub(super) struct Scored {
    pub(super) said: Predictions,
    pub(super) spent: Spent,
    pub(super) shared: SharedBlocks,
}

/// What tasks say of one image.
pub(super) struct ImageScores {
    /// One for each task.
    pub(super) tasks: Vec<Result<Scored, Error>>,
    /// What preparing the image took, and nothing more.
    pub(super) spent: Spent,
}

/// An image's pooled feature.
pub(super) struct Feature {
    pub(super) values: Vec<f32>,
    pub(super) spent: Spent,
}

/// A row that is being served.
type Pending = engine::Reply;

/// A row that was run.
struct Ran {
    answer: Answer,
    spent: Spent,
}

impl Service {
    /// Prepares an image, runs it under each task, and gives what each says.
    pub(super) async fn score(
        &self,
        image: Given,
        tasks: &[Pinned],
        places: impl IntoIterator<Item = Place>,
        terms: &Terms,
    ) -> Result<ImageScores, Error> {
        let places: Vec<Place> = places.into_iter().collect();
        let bill = places.first().map(|place| Arc::clone(&place.bill)).ok_or_else(Error::missing_row)?;
        let Prepared { inputs, took } = self.prepare(image, tasks, (terms, bill)).await?;
        let spent = Spent { decode: took, ..Spent::default() };
        let rows = tasks.iter().zip(inputs).zip(places).map(|((task, input), place)| {
            let pending = self.submit(task, input, place, (terms, false));
            self.said(task, pending, terms, spent)
        });
        // All rows are queued before the first is awaited, so that they can share a batch.
        let rows: Vec<_> = rows.collect();
        Ok(ImageScores { tasks: futures::future::join_all(rows).await, spent })
    }

    /// Prepares an image, runs it under a task, and gives its pooled feature.
    pub(super) async fn feature(
        &self,
        image: Given,
        task: &Pinned,
        place: Place,
        terms: &Terms,
    ) -> Result<Feature, Error> {
        let (output, spent) = self.output(image, task, place, (terms, true)).await?;
        Ok(Feature { values: output.feature.ok_or_else(Error::missing_row)?, spent })
    }

    /// Prepares an image, runs it under a task, and gives what comes out.
    pub(super) async fn output(
        &self,
        image: Given,
        task: &Pinned,
        place: Place,
        (terms, wants_feature): (&Terms, bool),
    ) -> Result<(Output, Spent), Error> {
        let Prepared { inputs, took } =
            self.prepare(image, slice::from_ref(task), (terms, Arc::clone(&place.bill))).await?;
        let input = inputs.into_iter().next().ok_or_else(Error::missing_row)?;
        let pending = self.submit(task, input, place, (terms, wants_feature));
        let spent = Spent { decode: took, ..Spent::default() };
        let Ran { answer, spent } = self.finish(task, pending, (terms, spent)).await?;
        Ok((Output { logits: answer.logits.to_vec(), feature: answer.feature }, spent))
    }

    /// Queues one row.
    fn submit(
        &self,
        task: &Pinned,
        input: Input,
        place: Place,
        (terms, wants_feature): (&Terms, bool),
    ) -> Pending {
        let Input { pixels, image } = input;
        let span = tracing::debug_span!("row", task = %task.task, queued_us = Empty, run_us = Empty, batch_rows = Empty);
        let row = Row {
            share: terms.share(),
            image,
            wants_feature,
            meter: Some(place.meter),
            deadline: Some(terms.deadline),
            span,
            ..Row::new(task.task.clone(), pixels, Arc::clone(&task.pack))
        };
        self.shared.engine.submit(row, place.permit)
    }

    /// What a task says, once its row was run.
    async fn said(
        &self,
        task: &Pinned,
        pending: Pending,
        terms: &Terms,
        spent: Spent,
    ) -> Result<Scored, Error> {
        let Ran { answer, spent } = self.finish(task, pending, (terms, spent)).await?;
        let mut said = predictions(&answer.logits, &task.pack.manifest, terms.top_k);
        said.logits = terms.wants_logits.then(|| answer.logits.to_vec());
        Ok(Scored { said, spent, shared: answer.shared })
    }

    /// Waits for a row's answer until the deadline. Dropping the wait abandons the row, which then costs nothing.
    async fn finish(
        &self,
        task: &Pinned,
        pending: Pending,
        (terms, spent): (&Terms, Spent),
    ) -> Result<Ran, Error> {
        let waited = tokio::time::timeout_at(terms.deadline.into(), pending).await;
        let received = waited.map_err(|_| Error::late())?;
        let answer = received.map_err(|_| engine::Error::WorkerLost)??;
        let Answer { queued, run, batch_rows, flops, .. } = answer;
        let spent = Spent { queue: queued, run, flops, batch_rows, ..spent };
        self.row_ran(task, &spent);
        Ok(Ran { spent, answer })
    }
}
