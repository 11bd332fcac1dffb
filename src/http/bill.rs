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
use crate::service::Code;
use crate::tenants::Caller;
use crate::usage::Charge;

/// What an answer was about; a handler leaves it with its answer. Rows are charged when they have run.
#[derive(Clone, Debug, Default)]
pub(super) struct Costs {
    images: u64,
    task: Option<Arc<str>>,
}

impl Costs {
    /// Images that were decoded, and the task if it is one.
    pub(super) fn new(images: usize, task: Option<&TaskId>) -> Self {
        Self { images: images as u64, task: task.map(|task| Arc::from(task.as_str())) }
    }
}

/// The layer: counts bytes on their way, and charges at the end.
pub(super) async fn layer(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let came = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&came);
    let caller = request.extensions().get::<Caller>().cloned();
    let request = request.map(|body| Body::new(Counted { body, came: counted }));
    let mut response = next.run(request).await;
    let code = response.extensions().get::<Code>().copied().unwrap_or(Code::Ok);
    let Costs { images, task } = response.extensions_mut().remove::<Costs>().unwrap_or_default();
    let charge = Charge {
        requests: 1,
        images,
        refused: u64::from(is_refusal(code)),
        bytes_in: came.load(Ordering::Relaxed),
        bytes_out: response.body().size_hint().exact().unwrap_or_default(),
        code: Some(code.as_str()),
        ..Charge::default()
    };
    if let Some(caller) = caller {
        state.service.usage().charge(&caller.billed(task), &charge);
    }
    response
}

/// Whether a request was turned away for want of room, whatever it asked.
fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::QuotaExceeded | Code::Overloaded | Code::MemoryFull | Code::NotReady | Code::ShuttingDown
    )
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
