//! From pixels to predictions: one row on the engine for each task.

use std::slice;
use std::sync::Arc;

use tokio::sync::oneshot;
use tracing::field::Empty;

use super::ask::Terms;
use super::error::Error;
use super::handle::Service;
use super::predictions::{Predictions, predictions};
use super::prepare::{Encoded, Input, Prepared};
use super::spent::Spent;
use crate::engine::{self, Answer, Permit, Row, Want};
use crate::metrics::NO_TASK;
use crate::reload::Pinned;

/// What one task says of one image.
pub(super) struct Scored {
    pub(super) said: Predictions,
    pub(super) spent: Spent,
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
type Pending = oneshot::Receiver<Result<Answer, engine::Error>>;

/// A row that was run.
struct Ran {
    answer: Answer,
    spent: Spent,
}

impl Service {
    /// Prepares an image, runs it under each task, and gives what each says.
    pub(super) async fn score(
        &self,
        image: Encoded,
        tasks: &[Pinned],
        permits: impl IntoIterator<Item = Permit>,
        terms: &Terms,
    ) -> Result<ImageScores, Error> {
        let Prepared { inputs, took } = self.prepare(image, tasks, terms).await?;
        let spent = Spent { decode: took, ..Spent::default() };
        let rows = tasks.iter().zip(inputs).zip(permits).map(|((task, input), permit)| {
            let pending = self.submit(task, input, permit, (terms, false));
            self.said(task, pending, terms, spent)
        });
        // All rows are queued before the first is awaited, so that they can share a batch.
        let rows: Vec<_> = rows.collect();
        Ok(ImageScores { tasks: futures::future::join_all(rows).await, spent })
    }

    /// Prepares an image, runs it under a task, and gives its pooled feature.
    pub(super) async fn feature(
        &self,
        image: Encoded,
        task: &Pinned,
        permit: Permit,
        terms: &Terms,
    ) -> Result<Feature, Error> {
        let Prepared { inputs, took } = self.prepare(image, slice::from_ref(task), terms).await?;
        let input = inputs.into_iter().next().ok_or_else(Error::missing_row)?;
        let pending = self.submit(task, input, permit, (terms, true));
        let spent = Spent { decode: took, ..Spent::default() };
        let Ran { answer, spent } = self.finish(task, pending, terms, spent).await?;
        Ok(Feature { values: answer.feature.ok_or_else(Error::missing_row)?, spent })
    }

    /// Admits one row for each task, all or none.
    pub(super) fn admit_rows<'a>(
        &self,
        tasks: impl IntoIterator<Item = &'a Pinned>,
        terms: &Terms,
    ) -> Result<Vec<Permit>, Error> {
        let want = |task: &Pinned| Want { task: task.task.clone(), flops: task.pack.flops };
        let wants: Vec<Want> = tasks.into_iter().map(want).collect();
        Ok(self.shared.engine.admit_by(terms.share, &wants, terms.deadline)?)
    }

    /// Queues one row.
    fn submit(
        &self,
        task: &Pinned,
        input: Input,
        permit: Permit,
        (terms, wants_feature): (&Terms, bool),
    ) -> Pending {
        let Input { pixels, image } = input;
        let span = tracing::debug_span!("row", task = %task.task, queued_us = Empty, run_us = Empty, batch_rows = Empty);
        let row = Row {
            share: terms.share,
            image,
            wants_feature,
            deadline: Some(terms.deadline),
            span,
            ..Row::new(task.task.clone(), pixels, Arc::clone(&task.pack))
        };
        self.shared.engine.submit(row, permit)
    }

    /// What a task says, once its row was run.
    async fn said(
        &self,
        task: &Pinned,
        pending: Pending,
        terms: &Terms,
        spent: Spent,
    ) -> Result<Scored, Error> {
        let Ran { answer, spent } = self.finish(task, pending, terms, spent).await?;
        Ok(Scored { said: predictions(&answer.logits, &task.pack.manifest, terms.top_k), spent })
    }

    /// Waits for a row's answer until the deadline. Dropping the wait abandons the row, which then costs nothing.
    async fn finish(
        &self,
        task: &Pinned,
        pending: Pending,
        terms: &Terms,
        spent: Spent,
    ) -> Result<Ran, Error> {
        let waited = tokio::time::timeout_at(terms.deadline.into(), pending).await;
        let received = waited.map_err(|_| Error::late())?;
        let answer = received.map_err(|_| engine::Error::WorkerLost)??;
        let Answer { queued, run, batch_rows, flops, .. } = answer;
        let label = if task.task.is_none() { NO_TASK } else { task.task.as_str() };
        self.shared.metrics.flops.with_label_values(&[label]).inc_by(flops);
        Ok(Ran { spent: Spent { queue: queued, run, flops, batch_rows, ..spent }, answer })
    }
}
