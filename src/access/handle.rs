//! The handle, and the thread that writes.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::entry::Entry;
use crate::journal::{Kept, State, Way};
use crate::metrics::Metrics;

/// What the names of the log's files begin with.
pub const FAMILY: &str = "access";
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
    sample: f64,
    way: Arc<Way<Entry>>,
}

impl AccessLog {
    /// Opens the log, mends what a crash left, and starts the thread that writes; none without a folder.
    ///
    /// # Errors
    /// When the folder can be neither made nor read, or there is no thread left.
    pub fn start(options: &AccessOptions, metrics: &Metrics) -> io::Result<Option<Self>> {
        let Some(folder) = &options.folder else { return Ok(None) };
        let kept = Kept::open(FAMILY, folder, (options.keep_bytes, options.sync), metrics)?;
        let way = Way::start(FAMILY, Arc::clone(kept.state()), move |came| write(kept, came))?;
        Ok(Some(Self { sample: options.sample, way: Arc::new(way) }))
    }

    /// Whether the next request is to be logged.
    pub fn is_wanted(&self) -> bool {
        self.sample >= 1.0 || rand::random::<f64>() < self.sample
    }

    /// Notes a request; never waits.
    pub fn record(&self, entry: Entry) {
        self.way.send(entry);
    }

    /// What is counted and shown of the log.
    pub fn state(&self) -> &State {
        self.way.state()
    }

    /// Writes what came, and ends.
    pub fn stop(&self) {
        self.way.stop();
    }
}

/// What the thread does.
fn write(mut kept: Kept, came: &Receiver<Entry>) {
    let mut due = Instant::now() + TURN;
    loop {
        match came.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Ok(entry) => {
                kept.push(&entry.line());
                // What comes until then is written at once.
                if Instant::now() < due && !kept.is_full() {
                    continue;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        kept.run();
        due = Instant::now() + TURN;
    }
    kept.finish();
}
