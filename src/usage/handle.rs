//! The handle, and the thread that flushes.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::charge::{Billed, Charge};
use super::keeper::{Keeper, Log, Shared};
use super::totals::Used;
use crate::journal::time::until_boundary;
use crate::journal::{Boot, State, SystemMedium};
use crate::metrics::Metrics;

/// Size at which the next file is begun.
const FILE_BYTES: u64 = 64 << 20;

/// How use is counted and written.
#[derive(Clone, Debug)]
pub struct UsageOptions {
    /// Folder of the log; without one, nothing is written.
    pub folder: Option<PathBuf>,
    /// How often lines are written.
    pub flush: Duration,
    /// Longest time until a written line is on the disk.
    pub sync: Duration,
    /// Days after which files are deleted; none keeps all.
    pub keep_days: Option<u32>,
    /// Most tenants with a label of their own.
    pub labels: usize,
}

impl Default for UsageOptions {
    fn default() -> Self {
        let second = Duration::from_secs(1);
        Self { folder: None, flush: second, sync: second, keep_days: None, labels: 100 }
    }
}

/// Counts what tenants use. Cheap to clone; the log ends with [`Usage::stop`], or with the last clone.
#[derive(Clone, Debug)]
pub struct Usage {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    state: Option<Arc<State>>,
    wake: SyncSender<()>,
    is_ending: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Usage {
    /// Opens the log and starts the thread that writes it.
    ///
    /// # Errors
    /// When the folder can be neither made nor read, or there is no thread left.
    pub fn start(options: &UsageOptions, metrics: &Arc<Metrics>) -> io::Result<Self> {
        let signed = |time: Duration| SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX);
        let log = options.folder.clone().map(|folder| Log {
            folder,
            boot: Boot::random(),
            medium: Box::new(SystemMedium),
            file_bytes: FILE_BYTES,
            sync: signed(options.sync),
            keep_days: options.keep_days,
        });
        let keeper = Keeper::open(log, options.labels, metrics, Timestamp::now())?;
        let (wake, woken) = sync_channel(1);
        let is_ending = Arc::new(AtomicBool::new(false));
        let (shared, state) = (Arc::clone(&keeper.shared), keeper.state());
        let (end, flush) = (Arc::clone(&is_ending), signed(options.flush));
        let thread = std::thread::Builder::new().name("usage".into());
        let thread = thread.spawn(move || keep(keeper, &woken, &end, flush))?;
        let inner = Inner { shared, state, wake, is_ending, thread: Mutex::new(Some(thread)) };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Counts; never waits for the disk.
    pub fn charge(&self, who: &Billed, what: &Charge) {
        if self.inner.shared.shards.add(who, what) {
            // A flush that is asked for already is enough.
            let _ = self.inner.wake.try_send(());
        }
    }

    /// Brings series up to date, for a scrape.
    pub fn settle(&self) {
        self.inner.shared.book().settle(&self.inner.shared.shards, Timestamp::now());
    }

    /// What a tenant used until now: at most `tasks` of its tasks one by one, the others summed under `*`.
    pub fn of(&self, tenant: &str, tasks: usize) -> Used {
        let (shared, now) = (&self.inner.shared, Timestamp::now());
        let mut used = {
            let mut book = shared.book();
            book.settle(&shared.shards, now);
            book.of(tenant, now)
        };
        used.shorten(tasks);
        used
    }

    /// What is counted and shown of the log; none without one.
    pub fn state(&self) -> Option<&State> {
        self.inner.state.as_deref()
    }

    /// Writes what is left, and ends. What is charged later is counted and not written.
    pub fn stop(&self) {
        self.inner.stop();
    }
}

impl Inner {
    fn stop(&self) {
        self.is_ending.store(true, Ordering::Release);
        let _ = self.wake.try_send(());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the usage log's thread failed");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Flushes at every boundary of the interval, and early when woken.
fn keep(mut keeper: Keeper, woken: &Receiver<()>, is_ending: &AtomicBool, flush: SignedDuration) {
    while !is_ending.load(Ordering::Acquire) {
        let wait = until_boundary(Timestamp::now(), flush).unsigned_abs();
        if woken.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected) {
            break;
        }
        keeper.tick(Timestamp::now());
    }
    keeper.finish(Timestamp::now());
}
