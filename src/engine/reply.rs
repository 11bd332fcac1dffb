//! What whoever submits a row waits on.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ndarray::ArrayView1;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::RecvError;
use tracing::Span;

use super::error::Error;
use super::row::{Answer, Row, SharedBlocks};
use crate::pack::Pack;

/// What became of a row on the device.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Its pooled feature, `[D]`, and behind it what its head reads where it reads depths.
    pub(super) feature: Vec<f32>,
    pub(super) queued: Duration,
    pub(super) run: Duration,
    pub(super) batch_rows: usize,
    pub(super) flops: u64,
    pub(super) shared: SharedBlocks,
}

/// The answer to come. The head is applied where it is received, so that the thread of the device goes on with the next
/// batch meanwhile. Fails when the worker of the row's batch did.
#[derive(Debug)]
pub struct Reply {
    receiver: oneshot::Receiver<Result<Outcome, Error>>,
    head: Head,
}

/// What is left to do for a row whose feature is there.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pack: Arc<Pack>,
    wants_feature: bool,
    span: Span,
}

impl Head {
    /// Of a row.
    pub(super) fn of(row: &Row) -> Self {
        Self { pack: Arc::clone(&row.pack), wants_feature: row.wants_feature, span: row.span.clone() }
    }

    fn answer(&self, outcome: Outcome) -> Result<Answer, Error> {
        let Outcome { feature, queued, run, batch_rows, flops, shared } = outcome;
        let span = tracing::debug_span!(parent: &self.span, "head");
        // Behind the pooled feature lie those of the depths that the head reads, where it reads any.
        let start = match self.pack.modules.reads_depths() {
            true => feature.len().saturating_sub(self.pack.head.weight.ncols()),
            false => 0,
        };
        let logits = span.in_scope(|| self.pack.head.logits(ArrayView1::from(&feature[start..])));
        if !logits.iter().all(|logit| logit.is_finite()) {
            return Err(Error::NotFinite);
        }
        let feature = self.wants_feature.then(|| if start > 0 { feature[..start].to_vec() } else { feature });
        Ok(Answer { logits, feature, queued, run, batch_rows, flops, shared })
    }
}

impl Reply {
    pub(super) fn new(receiver: oneshot::Receiver<Result<Outcome, Error>>, head: Head) -> Self {
        Self { receiver, head }
    }

    /// Waits for the answer where nothing may await.
    ///
    /// # Errors
    /// The outer one when the worker failed, the inner one when the row did.
    pub fn blocking_recv(self) -> Result<Result<Answer, Error>, RecvError> {
        let Self { receiver, head } = self;
        Ok(receiver.blocking_recv()?.and_then(|outcome| head.answer(outcome)))
    }
}

impl Future for Reply {
    type Output = Result<Result<Answer, Error>, RecvError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let received = Pin::new(&mut self.receiver).poll(context);
        received.map_ok(|outcome| outcome.and_then(|outcome| self.head.answer(outcome)))
    }
}
