//! Charges every request of the API to whoever sent it, once its answer is known.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http_body::{Frame, SizeHint};

use super::state::AppState;
use crate::pack::TaskId;
use crate::service::{Code, Spent};
use crate::usage::{Billed, Charge, NO_TENANT};

/// What an answer used; a handler leaves it with its answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Costs {
    images: u64,
    tasks: Vec<Cost>,
}

/// What one task used.
#[derive(Clone, Debug)]
struct Cost {
    task: Option<Arc<str>>,
    rows: u64,
    spent: Spent,
}

impl Costs {
    /// Nothing yet, for images that were decoded once.
    pub(super) fn of_images(images: usize) -> Self {
        Self { images: images as u64, tasks: Vec::new() }
    }

    /// Adds rows under a task, or the frozen backbone's.
    pub(super) fn add(mut self, task: Option<&TaskId>, rows: usize, spent: Spent) -> Self {
        let task = task.map(|task| Arc::from(task.as_str()));
        self.tasks.push(Cost { task, rows: rows as u64, spent });
        self
    }

    /// Charges: a request under one task is one charge, one under several has another for each task.
    fn charge(self, state: &AppState, request: Charge) {
        let Self { images, tasks } = self;
        let one = <[Cost; 1]>::try_from(tasks);
        let (first, others) = match one {
            Ok([cost]) => (Some(cost), Vec::new()),
            Err(others) => (None, others),
        };
        let task = first.as_ref().and_then(|cost| cost.task.clone());
        let charge = Charge { images, ..request };
        bill(state, task, first.map_or(charge, |cost| cost.onto(charge)));
        for mut cost in others {
            bill(state, cost.task.take(), cost.onto(Charge::default()));
        }
    }
}

impl Cost {
    fn onto(self, charge: Charge) -> Charge {
        Charge { rows: self.rows, flops: self.spent.flops, device: self.spent.device, ..charge }
    }
}

/// The layer: counts bytes on their way, and charges at the end.
pub(super) async fn layer(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let came = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&came);
    let request = request.map(|body| Body::new(Counted { body, came: counted }));
    let mut response = next.run(request).await;
    let code = response.extensions().get::<Code>().copied().unwrap_or(Code::Ok);
    let costs = response.extensions_mut().remove::<Costs>().unwrap_or_default();
    let charge = Charge {
        requests: 1,
        refused: u64::from(is_refusal(code)),
        bytes_in: came.load(Ordering::Relaxed),
        bytes_out: response.body().size_hint().exact().unwrap_or_default(),
        code: Some(code.as_str()),
        ..Charge::default()
    };
    costs.charge(&state, charge);
    response
}

/// Whether a request was turned away for want of room, whatever it asked.
fn is_refusal(code: Code) -> bool {
    matches!(code, Code::Overloaded | Code::MemoryFull | Code::NotReady | Code::ShuttingDown)
}

fn bill(state: &AppState, task: Option<Arc<str>>, charge: Charge) {
    state.service.usage().charge(&Billed { tenant: NO_TENANT.into(), key: None, task }, &charge);
}

/// A body whose bytes are counted as they come.
struct Counted {
    body: Body,
    came: Arc<AtomicU64>,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            self.came.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
