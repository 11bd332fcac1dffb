//! One connection from its acceptance to its end.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep_until};

use super::limits::ConnectionLimits;
use super::peer::{Phase, Reason};
use super::register::{Place, Register};
use super::stream::{Stream, Watched};
use super::tls::{Gate, Greeted};
use super::visit::{Door, Guest};
use crate::http::Origin;

/// Longest time between two looks at a connection's deadlines.
const LOOK: Duration = Duration::from_secs(5);
/// Longest wait, once the server ends, for a header that may be on its way.
const LAST_HEADER: Duration = Duration::from_secs(1);
/// Longest wait, once the server ends, for a body that is still coming and an answer that is still being taken.
const LAST_BYTES: Duration = Duration::from_secs(5);
/// Largest header of a request, bytes, both protocols.
const HEADER_BYTES: u32 = 64 << 10;
/// HTTP/2: silence after which a client is pinged.
const PING_AFTER: Duration = Duration::from_secs(20);
/// HTTP/2: longest wait for the answer to a ping.
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// HTTP/2: requests that a client may have opened and cancelled before they were looked at. More end the connection
/// (CVE-2023-44487).
const RESETS: usize = 20;
/// HTTP/2: most bytes of one answer that are framed before the client takes them.
const SEND_BUFFER: usize = 64 << 10;

/// What connections are served with.
pub(super) struct Host {
    pub(super) app: Router,
    pub(super) limits: ConnectionLimits,
    pub(super) protocol: Builder<TokioExecutor>,
    pub(super) register: Arc<Register>,
    /// Where connections speak TLS.
    pub(super) gate: Option<Gate>,
    pub(super) ending: Ending,
}

/// Who connected.
pub(super) struct Client {
    pub(super) socket: TcpStream,
    pub(super) address: IpAddr,
}

/// Whether the server ends, and since when.
#[derive(Default)]
pub(super) struct Ending {
    begun: AtomicBool,
    at: Mutex<Option<Instant>>,
}

impl Ending {
    pub(super) fn begin(&self) {
        *self.at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.begun.store(true, Ordering::Release);
    }

    fn since(&self) -> Option<Instant> {
        if !self.begun.load(Ordering::Acquire) {
            return None;
        }
        *self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// HTTP/1.1 and HTTP/2 (by prior knowledge), bounded.
pub(super) fn protocol(limits: &ConnectionLimits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().max_buf_size(HEADER_BYTES as usize);
    let mut http2 = builder.http2();
    http2.timer(TokioTimer::new()).keep_alive_interval(PING_AFTER).keep_alive_timeout(PING_TIMEOUT);
    http2.max_concurrent_streams(limits.streams).max_header_list_size(HEADER_BYTES);
    http2.max_pending_accept_reset_streams(RESETS).max_local_error_reset_streams(RESETS);
    http2.max_send_buf_size(SEND_BUFFER);
    builder
}

impl Host {
    /// Serves one connection to its end.
    pub(super) async fn serve(self: Arc<Self>, client: Client, place: Place) {
        let Client { socket, address } = client;
        let mut watch = Watch::new(&self, &place, address);
        // An answer is written at once; waiting for more gains nothing.
        let _ = socket.set_nodelay(true);
        let watched = Watched::new(socket, Arc::clone(&watch.place.peer));
        let mut guest = Guest { origin: Origin { address, certificate: None }, trust: None };
        let Some(gate) = &self.gate else {
            return self.speak(Stream::Plain(watched), guest, &mut watch).await;
        };
        if let Some(Greeted { stream, trust }) = self.greet(gate, watched, &mut watch).await {
            guest.origin.certificate = trust.as_ref().map(|trust| trust.names());
            guest.trust = trust;
            self.speak(Stream::Sealed(stream), guest, &mut watch).await;
        }
    }

    /// Does the handshake of TLS; nothing where the connection ends with it.
    async fn greet(&self, gate: &Gate, watched: Watched, watch: &mut Watch<'_>) -> Option<Greeted> {
        let mut greeting = Box::pin(gate.greet(watched));
        match watch.during(&mut greeting).await {
            Ok(Ok(greeted)) => {
                watch.place.peer.sealed();
                greeted
            }
            Ok(Err(error)) => {
                tracing::debug!(address = %watch.address, %error, "a TLS handshake failed");
                self.closed(Reason::TlsHandshake);
                None
            }
            Err(reason) => {
                self.closed(reason);
                None
            }
        }
    }

    /// Speaks HTTP to the connection's end.
    async fn speak(&self, stream: Stream, guest: Guest, watch: &mut Watch<'_>) {
        let door = Door { app: self.app.clone(), peer: Arc::clone(&watch.place.peer), guest };
        let connection = self.protocol.serve_connection(TokioIo::new(stream), door);
        let mut connection = std::pin::pin!(connection);
        let mut asked_to_end = false;
        let closed = std::future::poll_fn(|cx| {
            if let Some(reason) = watch.place.peer.verdict(cx.waker()) {
                return Poll::Ready(Some(reason));
            }
            if !asked_to_end && watch.may_be_asked_to_end() {
                connection.as_mut().graceful_shutdown();
                asked_to_end = true;
            }
            match connection.as_mut().poll(cx) {
                // How the connection broke matters only to the client.
                Poll::Ready(Ok(()) | Err(_)) => Poll::Ready(None),
                Poll::Pending => {
                    if !asked_to_end && watch.may_be_asked_to_end() {
                        cx.waker().wake_by_ref();
                    }
                    watch.poll_late(cx).map(Some)
                }
            }
        });
        if let Some(reason) = closed.await {
            self.closed(reason);
        }
    }

    /// Counts a connection that the server is about to close.
    fn closed(&self, reason: Reason) {
        self.register.count(reason);
        tracing::debug!(?reason, "a connection is closed");
    }
}

/// The deadlines of one connection.
struct Watch<'a> {
    host: &'a Host,
    place: &'a Place,
    address: IpAddr,
    timer: Pin<Box<Sleep>>,
}

impl<'a> Watch<'a> {
    fn new(host: &'a Host, place: &'a Place, address: IpAddr) -> Self {
        let timer = Box::pin(sleep_until((Instant::now() + host.limits.header.min(LOOK)).into()));
        Self { host, place, address, timer }
    }

    /// Does `work`, unless the connection must be closed first.
    async fn during<W: Future + Unpin>(&mut self, mut work: W) -> Result<W::Output, Reason> {
        std::future::poll_fn(|cx| {
            if let Some(reason) = self.place.peer.verdict(cx.waker()) {
                return Poll::Ready(Err(reason));
            }
            match Pin::new(&mut work).poll(cx) {
                Poll::Ready(done) => Poll::Ready(Ok(done)),
                Poll::Pending => self.poll_late(cx).map(Err),
            }
        })
        .await
    }

    /// Whether the server is ending and no header is on its way: hyper would cut a header off or wait for it forever.
    fn may_be_asked_to_end(&self) -> bool {
        self.host.ending.since().is_some() && self.place.peer.phase().0 != Phase::Header
    }

    /// When the connection is to be closed, and why.
    fn deadline(&self) -> Option<(Instant, Reason)> {
        let own = self.place.peer.deadline(&self.host.limits);
        let ending = self.host.ending.since().and_then(|at| match self.place.peer.phase() {
            (Phase::Header, _) => Some(at + LAST_HEADER),
            // From when the phase began: an answer that was just made has yet to be taken.
            (Phase::Body | Phase::Answer | Phase::Idle, since) => Some(at.max(since) + LAST_BYTES),
            (Phase::Working, _) => None,
        });
        own.into_iter().chain(ending.map(|at| (at, Reason::Drain))).min_by_key(|(at, _)| *at)
    }

    /// Ready when a deadline has passed. The timer is set only for a deadline that comes before it, so requests answered in
    /// time set none.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<Reason> {
        loop {
            let now = Instant::now();
            let deadline = self.deadline();
            if let Some((_, reason)) = deadline.filter(|(at, _)| *at <= now) {
                return Poll::Ready(reason);
            }
            let next = deadline.map_or(now + LOOK, |(at, _)| at.min(now + LOOK));
            if next < self.timer.deadline().into_std() {
                self.timer.as_mut().reset(next.into());
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.timer.as_mut().reset(next.into());
        }
    }
}
