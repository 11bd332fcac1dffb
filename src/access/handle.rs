//! The handle, and the thread that writes.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::entry::Entry;
use crate::journal::time::day;
use crate::journal::{Boot, Journal, Keep, Options, State, SystemMedium, mend, prune};
use crate::metrics::Metrics;

/// What the names of the log's files begin with.
pub const FAMILY: &str = "access";
/// Requests on their way to the thread; further ones are dropped and counted.
const ROOM: usize = 4096;
/// How often the thread writes what came.
const TURN: Duration = Duration::from_millis(200);

/// Which requests are written, and where.
#[derive(Clone, Debug)]
pub struct AccessOptions {
    /// Folder of the log; without one nothing is written.
    pub folder: Option<PathBuf>,
    /// The share of requests that get a line, 0 to 1.
    pub sample: f64,
    /// Longest time until a line is on the disk.
    pub sync: Duration,
    /// Most bytes of files; the oldest go first.
    pub keep_bytes: u64,
}

impl Default for AccessOptions {
    fn default() -> Self {
        Self { folder: None, sample: 1.0, sync: Duration::from_secs(1), keep_bytes: 1 << 30 }
    }
}

/// Writes requests. Cheap to clone; the log ends with [`AccessLog::stop`].
#[derive(Clone, Debug)]
pub struct AccessLog {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    sample: f64,
    state: Arc<State>,
    way: Mutex<Option<SyncSender<Entry>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl AccessLog {
    /// Opens the log, mends what a crash left, and starts the thread that writes; none without a folder.
    ///
    /// # Errors
    /// When the folder can be neither made nor read, or there is no thread left.
    pub fn start(options: &AccessOptions, metrics: &Metrics) -> io::Result<Option<Self>> {
        let Some(folder) = &options.folder else { return Ok(None) };
        std::fs::create_dir_all(folder)?;
        mend(folder, FAMILY)?;
        let (state, boot) = (State::new(FAMILY, metrics), Boot::random());
        let journal = Options {
            folder: folder.clone(),
            family: FAMILY,
            boot: boot.clone(),
            // A tenth of what is kept, so that deleting a file leaves most.
            file_bytes: (options.keep_bytes / 10).clamp(1 << 16, 64 << 20),
            sync: SignedDuration::try_from(options.sync).unwrap_or(SignedDuration::MAX),
        };
        let journal = Journal::new(journal, Box::new(SystemMedium), Arc::clone(&state), Timestamp::now());
        let keep = Keep { bytes: Some(options.keep_bytes), days: None };
        let writer = Writer {
            journal,
            state: Arc::clone(&state),
            folder: folder.clone(),
            boot,
            keep,
            pruned: u32::MAX,
        };
        let (way, came) = sync_channel(ROOM);
        let thread = std::thread::Builder::new().name("access".into()).spawn(move || writer.run(&came))?;
        let (way, thread) = (Mutex::new(Some(way)), Mutex::new(Some(thread)));
        Ok(Some(Self { inner: Arc::new(Inner { sample: options.sample, state, way, thread }) }))
    }

    /// Whether the next request has a line.
    pub fn is_wanted(&self) -> bool {
        self.inner.sample >= 1.0 || rand::random::<f64>() < self.inner.sample
    }

    /// Notes a request; never waits.
    pub fn record(&self, entry: Entry) {
        let way = self.inner.way.lock().unwrap_or_else(PoisonError::into_inner);
        if way.as_ref().is_none_or(|way| way.try_send(entry).is_err()) {
            self.inner.state.drop_lines(1);
        }
    }

    /// What is counted and shown of the log.
    pub fn state(&self) -> &State {
        &self.inner.state
    }

    /// Writes what came, and ends.
    pub fn stop(&self) {
        self.inner.way.lock().unwrap_or_else(PoisonError::into_inner).take();
        let thread = self.inner.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the access log's thread failed");
        }
    }
}

/// The thread's side.
struct Writer {
    journal: Journal,
    state: Arc<State>,
    folder: PathBuf,
    boot: Boot,
    keep: Keep,
    /// How many files were begun when old ones were last looked for.
    pruned: u32,
}

impl Writer {
    fn run(mut self, came: &Receiver<Entry>) {
        let mut due = Instant::now() + TURN;
        loop {
            match came.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(entry) => {
                    self.push(&entry);
                    // What comes until then is written at once.
                    if Instant::now() < due && !self.journal.is_full() {
                        continue;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.journal.run(Timestamp::now());
            self.prune();
            due = Instant::now() + TURN;
        }
        self.journal.finish(Timestamp::now());
        if !self.journal.is_settled() {
            tracing::error!("the end of the access log could not be written");
        }
    }

    fn push(&mut self, entry: &Entry) {
        if self.journal.is_full() {
            self.state.drop_lines(1);
        } else {
            self.journal.push(&entry.line(), Timestamp::now());
        }
    }

    fn prune(&mut self) {
        if self.pruned != self.journal.begun() {
            self.pruned = self.journal.begun();
            let today = day(Timestamp::now());
            if let Err(error) = prune(&self.folder, FAMILY, &self.boot, self.keep, today) {
                tracing::warn!(%error, "old access files could not be looked for");
            }
        }
    }
}
