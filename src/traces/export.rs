//! Spans on their way to a collector: a bounded queue, and a thread that sends. A request never waits for either.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::crypto::ring;
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};

use super::messages;
use super::span::Span;

/// Least time between two warnings of the same kind.
const PAUSE: Duration = Duration::from_secs(60);

/// Longest wait for the last posts.
const LAST: Duration = Duration::from_secs(5);

/// Where spans go, and how.
#[derive(Clone)]
pub struct ExportOptions {
    /// The collector's address for traces, whole.
    pub endpoint: String,
    /// Headers of each post; their values are secrets.
    pub headers: Vec<(String, String)>,
    /// What describes this server.
    pub resource: Vec<(String, String)>,
    /// Longest time of a post.
    pub timeout: Duration,
    /// Most spans that wait; further ones are dropped.
    pub queue: usize,
    /// Most spans of a post.
    pub batch: usize,
    /// Longest wait of a span for others.
    pub delay: Duration,
}

impl fmt::Debug for ExportOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("ExportOptions")
            .field("endpoint", &self.endpoint)
            .field("headers", &names)
            .field("resource", &self.resource)
            .finish_non_exhaustive()
    }
}

/// Sends spans. Cheap to clone; it ends with [`Exporter::stop`].
#[derive(Clone)]
pub struct Exporter {
    inner: Arc<Inner>,
}

struct Inner {
    way: Mutex<Option<SyncSender<Span>>>,
    /// Ends with the thread.
    over: Mutex<Receiver<()>>,
    dropped: Arc<AtomicU64>,
}

impl Exporter {
    /// Starts the thread that sends.
    ///
    /// # Errors
    /// When there is no thread left.
    pub fn start(options: ExportOptions) -> io::Result<Self> {
        let (way, spans) = sync_channel(options.queue.max(1));
        let dropped = Arc::new(AtomicU64::new(0));
        let sender = Sender::new(options, Arc::clone(&dropped));
        let (at_end, over) = sync_channel(1);
        let run = move || {
            let _at_end: SyncSender<()> = at_end;
            sender.run(&spans);
        };
        std::thread::Builder::new().name("traces".into()).spawn(run)?;
        let inner = Inner { way: Mutex::new(Some(way)), over: Mutex::new(over), dropped };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Takes a span that ended; never waits.
    pub(super) fn send(&self, span: Span) {
        let way = self.inner.way.lock().unwrap_or_else(PoisonError::into_inner);
        if way.as_ref().is_none_or(|way| way.try_send(span).is_err()) {
            self.inner.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sends what came, and ends; a collector that is slow does not keep the process.
    pub fn stop(&self) {
        self.inner.way.lock().unwrap_or_else(PoisonError::into_inner).take();
        let over = self.inner.over.lock().unwrap_or_else(PoisonError::into_inner);
        if over.recv_timeout(LAST) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("the collector of traces did not take the last spans in time");
        }
    }
}

/// The thread's.
struct Sender {
    agent: Agent,
    options: ExportOptions,
    dropped: Arc<AtomicU64>,
    warned: Option<Instant>,
}

impl Sender {
    fn new(options: ExportOptions, dropped: Arc<AtomicU64>) -> Self {
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(RootCerts::PlatformVerifier)
            .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .timeout_global(Some(options.timeout))
            .max_redirects(0)
            .build();
        Self { agent: config.into(), options, dropped, warned: None }
    }

    fn run(mut self, spans: &Receiver<Span>) {
        loop {
            let (batch, is_over) = self.batch(spans);
            if !batch.is_empty() {
                self.post(batch);
            }
            if is_over {
                return;
            }
        }
    }

    /// The next spans to send, and whether no more will come.
    fn batch(&self, spans: &Receiver<Span>) -> (Vec<Span>, bool) {
        let Ok(first) = spans.recv() else { return (Vec::new(), true) };
        let (mut batch, until) = (vec![first], Instant::now() + self.options.delay);
        while batch.len() < self.options.batch {
            match spans.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(span) => batch.push(span),
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return (batch, true),
            }
        }
        (batch, false)
    }

    /// Posts spans; what a collector does not take is lost, so that none pile up here.
    fn post(&mut self, batch: Vec<Span>) {
        let count = batch.len() as u64;
        let body = messages::request(&self.options.resource, batch);
        let mut post =
            self.agent.post(&self.options.endpoint).header("content-type", "application/x-protobuf");
        for (name, value) in &self.options.headers {
            post = post.header(name, value);
        }
        if let Err(error) = post.send(&body[..]) {
            self.dropped.fetch_add(count, Ordering::Relaxed);
            self.warn(&error.to_string());
        } else if self.dropped.load(Ordering::Relaxed) > 0 {
            self.warn("spans came faster than they were sent");
        }
    }

    fn warn(&mut self, reason: &str) {
        if self.warned.is_none_or(|at| at.elapsed() >= PAUSE) {
            self.warned = Some(Instant::now());
            let spans = self.dropped.swap(0, Ordering::Relaxed);
            tracing::warn!(spans, endpoint = self.options.endpoint, reason, "spans of traces were lost");
        }
    }
}
