//! One request on a connection, whose stages are recorded.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::Router;
use axum::body::{Body, Bytes};
use futures::future::BoxFuture;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::{Request, Response, Version};
use tower::Service;

use super::peer::{Peer, Reason, Stage};
use super::tls::Trust;
use crate::http::Origin;

/// The HTTP door as one connection sees it.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) app: Router,
    pub(super) peer: Arc<Peer>,
    pub(super) guest: Guest,
}

/// Who is at the other end.
#[derive(Clone)]
pub(super) struct Guest {
    pub(super) origin: Origin,
    /// The client certificate that the origin's names come from.
    pub(super) trust: Option<Arc<Trust>>,
}

impl Guest {
    /// Waits for ever, and has the connection closed, if its certificate does not hold any more.
    async fn admitted(&self, peer: &Peer) {
        if self.trust.as_ref().is_some_and(|trust| !trust.holds()) {
            peer.close(Reason::Untrusted);
            std::future::pending().await
        }
    }
}

impl hyper::service::Service<Request<Incoming>> for Door {
    type Response = Response<Counted<Body>>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let is_multiplexed = request.version() == Version::HTTP_2;
        let stage = if request.body().is_end_stream() { Stage::Working } else { Stage::Body };
        let visit = Visit::enter(&self.peer, is_multiplexed, stage);
        let come = (stage == Stage::Body).then(|| Arc::clone(&visit));
        let mut request = request.map(|body| Body::new(Counted { body, visit: come, after: After::Work }));
        request.extensions_mut().insert(self.guest.origin.clone());
        let (mut app, peer, guest) = (self.app.clone(), Arc::clone(&self.peer), self.guest.clone());
        Box::pin(async move {
            guest.admitted(&peer).await;
            let response = app.call(request).await?;
            // Once more: an answer may take long.
            guest.admitted(&peer).await;
            visit.go(Stage::Answer);
            Ok(response.map(|body| Counted { body, visit: Some(visit), after: After::Leave }))
        })
    }
}

/// A request between its header and the end of its answer.
struct Visit {
    peer: Arc<Peer>,
    stage: Mutex<Stage>,
}

impl Visit {
    fn enter(peer: &Arc<Peer>, is_multiplexed: bool, stage: Stage) -> Arc<Self> {
        peer.entered(is_multiplexed, stage, Instant::now());
        Arc::new(Self { peer: Arc::clone(peer), stage: Mutex::new(stage) })
    }

    /// Goes on to a later stage; stages are never gone back to.
    fn go(&self, to: Stage) {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        if *stage < to {
            self.peer.moved(*stage, Some(to), Instant::now());
            *stage = to;
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let stage = *self.stage.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.peer.moved(stage, None, Instant::now());
    }
}

/// Bytes of an answer that wait to be written.
struct Waiting {
    bytes: Bytes,
    _visit: Arc<Visit>,
}

impl AsRef<[u8]> for Waiting {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// What a body's end means.
#[derive(Clone, Copy)]
enum After {
    /// The request has come whole.
    Work,
    /// The answer has been handed over; it ends when its last byte is written.
    Leave,
}

/// A body whose end is recorded.
pub(super) struct Counted<B> {
    body: B,
    visit: Option<Arc<Visit>>,
    after: After,
}

impl<B> Counted<B> {
    fn end(&mut self) {
        if let Some(visit) = self.visit.take()
            && let After::Work = self.after
        {
            visit.go(Stage::Working);
        }
    }
}

impl<B: HttpBody<Data = Bytes> + Unpin> HttpBody for Counted<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        // An answer's bytes keep its visit until they are written, wherever they wait.
        let kept = self.visit.clone().filter(|_| matches!(self.after, After::Leave));
        let polled = polled.map_ok(|frame| match kept {
            Some(visit) => frame.map_data(|bytes| Bytes::from_owner(Waiting { bytes, _visit: visit })),
            None => frame,
        });
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) || self.body.is_end_stream() {
            self.end();
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

impl<B> Drop for Counted<B> {
    fn drop(&mut self) {
        // It is dropped before its end: nobody reads on.
        if let (Some(visit), After::Work) = (&self.visit, self.after) {
            visit.peer.unheard();
        }
        self.end();
    }
}
