//! From pixels to predictions: one row on the engine for each task.

use std::sync::Arc;

use tokio::sync::oneshot;
use tracing::field::Empty;

use super::ask::Terms;
use super::error::Error;
use super::handle::Service;
use super::predictions::{Prediction, top_k};
use super::prepare::{Encoded, Input, Prepared};
use super::spent::Spent;
use crate::engine::{self, Answer, Permit, Row};
use crate::reload::Pinned;

/// What one task says of one image.
pub(super) struct Scored {
    pub(super) predictions: Vec<Prediction>,
    pub(super) spent: Spent,
}

/// What tasks say of one image.
pub(super) struct ImageScores {
    /// One for each task.
    pub(super) tasks: Vec<Result<Scored, Error>>,
    /// What preparing the image took, and nothing more.
    pub(super) spent: Spent,
}

/// A row that is being served.
type Pending = oneshot::Receiver<Result<Answer, engine::Error>>;

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
            let pending = self.submit(task, input, permit, terms);
            self.finish(task, pending, terms, spent)
        });
        // All rows are queued before the first is awaited, so that they can share a batch.
        let rows: Vec<_> = rows.collect();
        Ok(ImageScores { tasks: futures::future::join_all(rows).await, spent })
    }

    /// Queues one row.
    fn submit(&self, task: &Pinned, input: Input, permit: Permit, terms: &Terms) -> Pending {
        let Input { pixels, image } = input;
        let span = tracing::debug_span!("row", task = %task.task, queued_us = Empty, run_us = Empty, batch_rows = Empty);
        let row = Row {
            flow: terms.caller,
            image,
            deadline: Some(terms.deadline),
            span,
            ..Row::new(task.task.clone(), pixels, Arc::clone(&task.pack))
        };
        self.shared.engine.submit(row, permit)
    }

    /// Waits for a row's answer until the deadline. Dropping the wait abandons the row, which then costs nothing.
    async fn finish(
        &self,
        task: &Pinned,
        pending: Pending,
        terms: &Terms,
        spent: Spent,
    ) -> Result<Scored, Error> {
        let waited = tokio::time::timeout_at(terms.deadline.into(), pending).await;
        let received = waited.map_err(|_| Error::late())?;
        let Answer { logits, queued, run, batch_rows } =
            received.map_err(|_| engine::Error::WorkerLost)??;
        let flops = task.pack.flops;
        self.shared.metrics.flops.with_label_values(&[task.task.as_str()]).inc_by(flops);
        let predictions = top_k(&logits, &task.pack.manifest.labels, terms.top_k);
        Ok(Scored { predictions, spent: Spent { queue: queued, run, flops, batch_rows, ..spent } })
    }
}
