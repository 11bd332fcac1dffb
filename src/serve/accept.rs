//! Taking connections in, within the limits, and seeing them out.

use std::future::Future;
use std::io::{Error, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use futures::FutureExt;
use tokio::net::{TcpListener, TcpStream};

use super::connection::{Ending, Host, protocol};
use super::limits::ConnectionLimits;
use super::register::Register;
use crate::metrics::Metrics;

/// Pause after a failure to accept that closing a connection does not cure.
const PAUSE: Duration = Duration::from_millis(100);
/// Shortest time between two lines of the log about failures to accept.
const QUIET: Duration = Duration::from_secs(10);
/// Connections in the system's backlog that the server still serves when it ends.
const LAST: usize = 1024;
/// Longest wait for connections to close once they were told.
const CLOSING: Duration = Duration::from_secs(1);

/// Serves connections of one listener.
pub(super) struct Acceptor {
    host: Arc<Host>,
    metrics: Arc<Metrics>,
    accepted: u64,
    complained: Option<Instant>,
}

impl Acceptor {
    /// Serves `app`, at most `most` connections at once.
    pub(super) fn new(app: Router, limits: ConnectionLimits, most: usize, metrics: Arc<Metrics>) -> Self {
        let register = Register::new(most, Arc::clone(&metrics));
        let (protocol, ending) = (protocol(&limits), Ending::default());
        let host = Arc::new(Host { app, limits, protocol, register, ending });
        Self { host, metrics, accepted: 0, complained: None }
    }

    /// Takes connections in until `stop` resolves, and those that the system had taken in by then.
    pub(super) async fn accept(&mut self, listener: &TcpListener, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        loop {
            let accepted = tokio::select! {
                biased;
                () = &mut stop => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((socket, _)) => self.admit(socket).await,
                Err(error) => self.refused(&error).await,
            }
        }
        for _ in 0..LAST {
            let Some(Ok((socket, _))) = listener.accept().now_or_never() else { break };
            self.admit(socket).await;
        }
    }

    async fn admit(&mut self, socket: TcpStream) {
        self.accepted += 1;
        // Without a place the socket is closed here.
        if let Some(place) = self.host.register.place(self.accepted).await {
            tokio::spawn(Arc::clone(&self.host).serve(socket, place));
        }
    }

    /// Waits after a failure to accept, which neither ends the server nor keeps it busy.
    async fn refused(&mut self, error: &Error) {
        let client = [ErrorKind::ConnectionAborted, ErrorKind::ConnectionReset, ErrorKind::ConnectionRefused];
        if client.contains(&error.kind()) {
            return;
        }
        self.metrics.accept_failures.inc();
        if self.complained.is_none_or(|at| at.elapsed() > QUIET) {
            self.complained = Some(Instant::now());
            let open = self.host.register.len();
            tracing::error!(%error, open, "a connection cannot be accepted");
        }
        // Descriptors may be used up: closing a connection gives one back.
        if !self.host.register.make_room().await {
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Answers what was accepted, until `deadline`; then closes what is left. Returns whether all was answered.
    pub(super) async fn drain(&self, deadline: Instant) -> bool {
        self.host.ending.begin();
        self.host.register.wake_all();
        let register = &self.host.register;
        if tokio::time::timeout_at(deadline.into(), register.emptied()).await.is_ok() {
            return true;
        }
        register.close_all();
        // What does not close now ends with the process.
        let _ = tokio::time::timeout(CLOSING, register.emptied()).await;
        false
    }
}
