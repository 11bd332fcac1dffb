//! Health and metrics on their own listener and thread, so that clients' connections cannot starve them.

use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::{Context, Result};
use axum::Router;
use tokio::sync::oneshot;

use super::accept::Acceptor;
use super::limits::ConnectionLimits;
use super::tls::Gate;
use crate::metrics::Metrics;

/// Most connections: probes and scrapers of an orchestrator.
const CONNECTIONS: usize = 16;

/// The running thread; it ends when asked or dropped.
pub(super) struct Admin {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Admin {
    /// Serves `app` on `listener`, with TLS where there is a gate.
    ///
    /// # Errors
    /// When the thread or its reactor cannot be started.
    pub(super) fn start(
        app: Router,
        limits: ConnectionLimits,
        listener: TcpListener,
        gate: Option<Gate>,
        metrics: Arc<Metrics>,
    ) -> Result<Self> {
        let (address, tls) = (listener.local_addr()?, gate.is_some());
        listener.set_nonblocking(true)?;
        let reactor = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _inside = reactor.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let serve = async move {
            let mut acceptor = Acceptor::new(app, limits, CONNECTIONS, gate, metrics);
            // A dropped sender ends it just as well.
            acceptor.accept(&listener, async { drop(stopped.await) }).await;
            drop(listener);
            acceptor.drain(Instant::now()).await;
        };
        let thread = std::thread::Builder::new().name("admin".into()).spawn(move || reactor.block_on(serve));
        let thread = thread.context("start the thread of the admin port")?;
        tracing::info!(%address, tls, "health and metrics are served");
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }

    fn end(&mut self) {
        drop(self.stop.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of the admin port panicked");
        }
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.end();
    }
}
