//! A message as it comes: its bytes are counted, held and awaited no longer than its request's deadline.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response;
use http_body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep_until};

use super::door::Door;
use super::{deadline, status};
use crate::service::{Code, Error, Held, Refusal};
use crate::tenants::{Caller, Need};

/// Bytes before a message: whether it is compressed, and its length.
const HEAD: usize = 5;
/// Most bytes of messages that anybody may send, without a key.
const PUBLIC: usize = 4 << 10;
/// The metadata with the client's deadline.
const TIMEOUT: &str = "grpc-timeout";

/// A request whose head has come.
#[derive(Clone)]
pub(super) struct Arrival {
    /// When.
    pub(super) at: Instant,
    /// When the answer is of no more use.
    pub(super) deadline: Instant,
    held: Arc<Mutex<Held>>,
}

impl Arrival {
    /// Holds more memory until the request is answered.
    pub(super) fn hold(&self, bytes: usize) -> Result<(), Error> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).take(bytes)
    }
}

/// The layer: puts the request's [`Arrival`] beside it and watches its body.
pub(super) async fn layer(State(door): State<Door>, mut request: Request, next: Next) -> Response {
    let at = Instant::now();
    let wait = match wait(request.headers(), door.service.options().timeout) {
        Ok(wait) => wait,
        Err(reason) => return status::answer(Refusal::new(Code::InvalidRequest, reason)),
    };
    let everybody = Caller::everybody();
    let caller = request.extensions().get::<Caller>().unwrap_or(&everybody);
    let held = Arc::new(Mutex::new(door.service.hold(caller)));
    let arrival = Arrival { at, deadline: at + wait, held };
    let why = Why::default();
    let is_public = request.extensions().get::<Need>() == Some(&Need::Nothing);
    let limit = if is_public { PUBLIC } else { door.options.payload_limit };
    let coming = Coming::over(&door, (&arrival, limit), &why);
    request.extensions_mut().insert(arrival.clone());
    let response = next.run(request.map(|body| Body::new(coming(body)))).await;
    // The parser only knows that the body ended early.
    let refusal = why.lock().unwrap_or_else(PoisonError::into_inner).take();
    refusal.map_or(response, status::answer)
}

fn wait(headers: &HeaderMap, longest: Duration) -> Result<Duration, String> {
    let Some(value) = headers.get(TIMEOUT) else { return Ok(longest) };
    deadline::read(value.to_str().unwrap_or_default())
}

/// Why a body ended early.
type Why = Arc<Mutex<Option<Refusal>>>;

/// A body that is watched.
struct Coming {
    body: Body,
    arrival: Arrival,
    left: usize,
    limit: usize,
    timer: Pin<Box<Sleep>>,
    seconds: Option<u64>,
    why: Why,
}

impl Coming {
    fn over(door: &Door, (arrival, limit): (&Arrival, usize), why: &Why) -> impl FnOnce(Body) -> Self {
        let (arrival, why, options) = (arrival.clone(), Arc::clone(why), door.options);
        let own = arrival.at + options.body_timeout;
        let seconds = (own < arrival.deadline).then_some(options.body_timeout.as_secs());
        let timer = Box::pin(sleep_until(own.min(arrival.deadline).into()));
        move |body| Self { body, arrival, left: limit.saturating_add(HEAD), limit, timer, seconds, why }
    }

    fn late(&self) -> Refusal {
        match self.seconds {
            Some(seconds) => {
                Refusal::new(Code::BodyTimeout, format!("the message did not come within {seconds} s"))
            }
            None => Refusal::from(&Error::late()),
        }
    }

    fn took(&mut self, bytes: usize) -> Result<(), Refusal> {
        let limit = self.limit;
        let too_large = || {
            Refusal::new(Code::ImageTooLarge, format!("the message is larger than the {limit} bytes allowed"))
        };
        self.left = self.left.checked_sub(bytes).ok_or_else(too_large)?;
        self.arrival.hold(bytes).map_err(|error| Refusal::from(&error))
    }

    fn end(&self, refusal: Refusal) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let told = axum::Error::new(refusal.clone());
        self.why.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(refusal);
        Poll::Ready(Some(Err(told)))
    }
}

impl HttpBody for Coming {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Pending if self.timer.as_mut().poll(context).is_ready() => self.end(self.late()),
            Poll::Ready(Some(Ok(frame))) => match self.took(frame.data_ref().map_or(0, Bytes::len)) {
                Ok(()) => Poll::Ready(Some(Ok(frame))),
                Err(refusal) => self.end(refusal),
            },
            polled => polled,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
