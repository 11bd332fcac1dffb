//! Charges every request of the API to whoever sent it: once its answer is known, or when its client goes away.

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
pub(super) use crate::service::Costs;
use crate::service::{Ending, Refusal, Service};
use crate::tenants::Caller;
use crate::usage::Charge;

/// The word for a request whose client went away before its answer was known.
const ABANDONED: &str = "abandoned";

/// The layer: counts bytes on their way, and charges at the end.
pub(super) async fn layer(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let Some(caller) = request.extensions().get::<Caller>().cloned() else { return next.run(request).await };
    let came = Arc::new(AtomicU64::new(0));
    let mut tab = Tab::new(state.service.clone(), caller.clone(), Arc::clone(&came));
    let request = request.map(|body| Body::new(Counted { body, came, service: state.service, caller }));
    let mut response = next.run(request).await;
    tab.settle(&mut response);
    response
}

/// What a request owes; charged when this is dropped, which is also when its client goes away.
struct Tab {
    service: Service,
    caller: Caller,
    came: Arc<AtomicU64>,
    task: Option<Arc<str>>,
    charge: Charge,
}

impl Tab {
    fn new(service: Service, caller: Caller, came: Arc<AtomicU64>) -> Self {
        let charge = Charge { requests: 1, code: Some(ABANDONED), ..Charge::default() };
        Self { service, caller, came, task: None, charge }
    }

    /// Notes what the request ended with.
    fn settle(&mut self, response: &mut Response) {
        let refusal = response.extensions().get::<Refusal>();
        let Ending { code, rejection } = refusal.map_or(Ending::OK, Ending::from);
        let Costs { images, task, bytes_out } =
            response.extensions_mut().remove::<Costs>().unwrap_or_default();
        self.task = task;
        self.charge.images = images;
        self.charge.refused = u64::from(rejection.is_some());
        self.charge.bytes_out = response.body().size_hint().exact().unwrap_or(bytes_out);
        self.charge.code = Some(code.as_str());
    }
}

impl Drop for Tab {
    fn drop(&mut self) {
        self.charge.bytes_in = self.came.load(Ordering::Relaxed);
        self.service.usage().charge(&self.caller.billed(self.task.take()), &self.charge);
    }
}

/// A body whose bytes are counted as they come. The quota is charged with them when it has been read, or is given up.
struct Counted {
    body: Body,
    came: Arc<AtomicU64>,
    service: Service,
    caller: Caller,
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

impl Drop for Counted {
    fn drop(&mut self) {
        let bytes = self.came.load(Ordering::Relaxed);
        if bytes > 0 {
            self.service.received(&self.caller, bytes);
        }
    }
}
