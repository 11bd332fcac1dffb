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

/// Most signs of a collector's reason that the log gets.
const REASON: usize = 200;
/// Most bytes of a collector's answer.
const ANSWER: u64 = 64 << 10;

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
            .field("endpoint", &shown(&self.endpoint))
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
    lost: Arc<AtomicU64>,
}

impl Exporter {
    /// Starts the thread that sends.
    ///
    /// # Errors
    /// When there is no thread left.
    pub fn start(options: ExportOptions) -> io::Result<Self> {
        let (way, spans) = sync_channel(options.queue.max(1));
        let lost = Arc::new(AtomicU64::new(0));
        let sender = Sender::new(options, Arc::clone(&lost));
        let (at_end, over) = sync_channel(1);
        let run = move || {
            let _at_end: SyncSender<()> = at_end;
            sender.run(&spans);
        };
        std::thread::Builder::new().name("traces".into()).spawn(run)?;
        let inner = Inner { way: Mutex::new(Some(way)), over: Mutex::new(over), lost };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Takes a span that ended; never waits.
    pub(super) fn send(&self, span: Span) {
        let way = self.inner.way.lock().unwrap_or_else(PoisonError::into_inner);
        if way.as_ref().is_none_or(|way| way.try_send(span).is_err()) {
            self.inner.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many spans were lost, as a number that grows: there was no room, or the collector did not take them.
    pub fn lost(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.inner.lost)
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
    lost: Arc<AtomicU64>,
    /// How many of them the log has told.
    told: u64,
    warned: Option<Instant>,
}

impl Sender {
    fn new(options: ExportOptions, lost: Arc<AtomicU64>) -> Self {
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
        Self { agent: config.into(), options, lost, told: 0, warned: None }
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
        let (lost, reason) = match self.answer(&body) {
            Err(reason) => (count, reason),
            Ok(answer) => match messages::refused(&answer) {
                Some(told) => {
                    (told.rejected_spans.max(0) as u64, told.error_message.chars().take(REASON).collect())
                }
                None => (0, "spans came faster than they were sent".to_owned()),
            },
        };
        self.lost.fetch_add(lost, Ordering::Relaxed);
        if self.lost.load(Ordering::Relaxed) > self.told {
            self.warn(&reason);
        }
    }

    /// What the collector answers, where it takes the post.
    fn answer(&self, body: &[u8]) -> Result<Vec<u8>, String> {
        let mut post =
            self.agent.post(&self.options.endpoint).header("content-type", "application/x-protobuf");
        for (name, value) in &self.options.headers {
            post = post.header(name, value);
        }
        let mut answer = post.send(body).map_err(|error| error.to_string())?;
        // Redirections are not followed, so they are failures as any other.
        if !answer.status().is_success() {
            return Err(format!("http status: {}", answer.status().as_u16()));
        }
        let read = answer.body_mut().with_config().limit(ANSWER).read_to_vec();
        read.map_err(|error| format!("the collector's answer: {error}"))
    }

    fn warn(&mut self, reason: &str) {
        if self.warned.is_none_or(|at| at.elapsed() >= PAUSE) {
            self.warned = Some(Instant::now());
            let lost = self.lost.load(Ordering::Relaxed);
            let spans = lost - std::mem::replace(&mut self.told, lost);
            let endpoint = shown(&self.options.endpoint);
            tracing::warn!(spans, %endpoint, reason, "spans of traces were lost");
        }
    }
}

/// An address without a user and a password.
fn shown(endpoint: &str) -> String {
    let (scheme, rest) = endpoint.split_once("://").unwrap_or(("", endpoint));
    let (place, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
    format!("{scheme}://{place}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is lost of 7 spans where a collector answers so.
    fn lost(answer: &'static [u8]) -> u64 {
        use std::io::{Read, Write};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        let collector = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut post = [0; 4096];
            while !post.windows(4).any(|part| part == b"\r\n\r\n") {
                assert!(stream.read(&mut post).unwrap() > 0);
            }
            stream.write_all(answer).unwrap();
            // Closed only when the answer was read.
            stream
        });
        let options = ExportOptions {
            endpoint,
            headers: vec![],
            resource: vec![],
            timeout: Duration::from_secs(10),
            queue: 1,
            batch: 1,
            delay: Duration::ZERO,
        };
        let mut sender = Sender::new(options, Arc::default());
        // Warned just now, so that the count stays.
        sender.warned = Some(Instant::now());
        let context = crate::traces::Context { trace: 1, span: 1, is_sampled: true };
        let span = Span {
            context,
            parent: None,
            state: None,
            name: "request",
            is_request: true,
            start: 0,
            end: 1,
            attributes: vec![],
            links: vec![],
            is_failed: false,
        };
        sender.post(vec![span; 7]);
        drop(collector.join().unwrap());
        sender.lost.load(Ordering::Relaxed)
    }

    #[test]
    fn what_a_collector_does_not_take_is_lost() {
        assert_eq!(lost(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"), 0);
        // `partial_success` with 3 rejected spans, and with a warning alone.
        assert_eq!(lost(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n\x0a\x02\x08\x03"), 3);
        assert_eq!(lost(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n\x0a\x03\x12\x01x"), 0);
        for refusal in [
            &b"HTTP/1.1 307 Temporary Redirect\r\nlocation: /x\r\ncontent-length: 0\r\n\r\n"[..],
            b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n",
            b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
        ] {
            assert_eq!(lost(refusal), 7);
        }
    }

    #[test]
    fn addresses_are_shown_without_passwords() {
        for (given, expected) in [
            ("http://a:4318/v1/traces", "http://a:4318/v1/traces"),
            ("https://me:se@cret@a/v1/traces?x=@", "https://a/v1/traces?x=@"),
            ("http://me@a", "http://a"),
        ] {
            assert_eq!(shown(given), expected);
        }
    }
}
