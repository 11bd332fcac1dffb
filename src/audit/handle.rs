//! The handle, and the thread that writes.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::event::{Event, Who, line};
use super::limiter::{Count, Limiter};
use crate::journal::time::{day, text};
use crate::journal::{Boot, Journal, Keep, Options, State, SystemMedium, mend, prune};
use crate::metrics::Metrics;

/// What the names of the log's files begin with.
pub const FAMILY: &str = "audit";
/// Events on their way to the thread; further ones are dropped and counted.
const ROOM: usize = 4096;
/// How often the thread writes what came.
const TURN: Duration = Duration::from_millis(100);

/// How events are written.
#[derive(Clone, Debug)]
pub struct AuditOptions {
    /// Folder of the log; without one, events go to the tracing log alone.
    pub folder: Option<PathBuf>,
    /// Longest time until a written line is on the disk.
    pub sync: Duration,
    /// Most bytes of files; the oldest go first.
    pub keep_bytes: u64,
}

impl Default for AuditOptions {
    fn default() -> Self {
        Self { folder: None, sync: Duration::from_secs(1), keep_bytes: 1 << 30 }
    }
}

/// Writes who did what. Cheap to clone; the log ends with [`Audit::stop`], or with the last clone.
#[derive(Clone, Debug)]
pub struct Audit {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    limiter: Arc<Mutex<Limiter>>,
    log: Option<Log>,
}

/// The way to the thread.
#[derive(Debug)]
struct Log {
    state: Arc<State>,
    way: Mutex<Option<SyncSender<Map<String, Value>>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Audit {
    /// Opens the log, mends what a crash left, and starts the thread that writes.
    ///
    /// # Errors
    /// When the folder can be neither made nor read, or there is no thread left.
    pub fn start(options: &AuditOptions, metrics: &Metrics) -> io::Result<Self> {
        let limiter = Arc::new(Mutex::new(Limiter::new(Timestamp::now())));
        let log = match &options.folder {
            Some(folder) => Some(Log::start(folder.clone(), options, metrics, &limiter)?),
            None => None,
        };
        Ok(Self { inner: Arc::new(Inner { limiter, log }) })
    }

    /// Notes an event; never waits.
    pub fn record(&self, who: &Who, event: &Event) {
        self.record_at(Timestamp::now(), who, event);
    }

    /// Notes an event of a time.
    pub fn record_at(&self, now: Timestamp, who: &Who, event: &Event) {
        let (is_written, counts) = self.limit(now, who, event);
        counts.iter().for_each(|count| self.inner.count(count));
        if is_written {
            self.inner.write(now, who, event);
        }
    }

    /// What is counted and shown of the log; none without one.
    pub fn state(&self) -> Option<&State> {
        self.inner.log.as_ref().map(|log| &*log.state)
    }

    /// Writes what came, and ends. Later events go to the tracing log alone.
    pub fn stop(&self) {
        self.inner.stop();
    }

    fn limit(&self, now: Timestamp, who: &Who, event: &Event) -> (bool, Vec<Count>) {
        let mut limiter = self.inner.limiter.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = limiter.turn(now);
        (limiter.admit(who, event), counts)
    }
}

impl Inner {
    fn write(&self, now: Timestamp, who: &Who, event: &Event) {
        let mut line = line(now, event.name(), who);
        line.extend(event.fields().into_iter().map(|(name, value)| (name.to_owned(), value)));
        self.send(line, event.is_warning());
    }

    /// Tells how many events of a kind were not written.
    fn count(&self, count: &Count) {
        self.send(counted(count), true);
    }

    fn send(&self, line: Map<String, Value>, is_warning: bool) {
        trace(&line, is_warning);
        if let Some(log) = &self.log {
            let way = log.way.lock().unwrap_or_else(PoisonError::into_inner);
            if way.as_ref().is_none_or(|way| way.try_send(line).is_err()) {
                log.state.drop_lines(1);
            }
        }
    }

    fn stop(&self) {
        let counts = self.limiter.lock().unwrap_or_else(PoisonError::into_inner).end(Timestamp::now());
        counts.iter().for_each(|count| self.count(count));
        if let Some(log) = &self.log {
            // Without a way, the thread writes what came and ends.
            log.way.lock().unwrap_or_else(PoisonError::into_inner).take();
            let thread = log.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
            if thread.is_some_and(|thread| thread.join().is_err()) {
                tracing::error!("the audit log's thread failed");
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The line of events that were not written one by one.
fn counted(count: &Count) -> Map<String, Value> {
    let mut line = line(count.to, count.event, &count.who);
    if let Some(reason) = count.reason {
        line.insert("reason".into(), reason.into());
    }
    line.insert("count".into(), count.count.into());
    line.insert("from".into(), text(count.from).into());
    line
}

fn trace(line: &Map<String, Value>, is_warning: bool) {
    let told = Value::Object(line.clone());
    if is_warning {
        tracing::warn!(audit = %told);
    } else {
        tracing::info!(audit = %told);
    }
}

impl Log {
    fn start(
        folder: PathBuf,
        options: &AuditOptions,
        metrics: &Metrics,
        limiter: &Arc<Mutex<Limiter>>,
    ) -> io::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        mend(&folder, FAMILY)?;
        let (state, boot, now) = (State::new(FAMILY, metrics), Boot::random(), Timestamp::now());
        let journal = Options {
            folder: folder.clone(),
            family: FAMILY,
            boot: boot.clone(),
            // A tenth of what is kept, so that deleting a file leaves most.
            file_bytes: (options.keep_bytes / 10).clamp(1 << 16, 64 << 20),
            sync: SignedDuration::try_from(options.sync).unwrap_or(SignedDuration::MAX),
        };
        let journal = Journal::new(journal, Box::new(SystemMedium), Arc::clone(&state), now);
        let keep = Keep { bytes: Some(options.keep_bytes), days: None };
        let writer = Writer {
            journal,
            limiter: Arc::clone(limiter),
            state: Arc::clone(&state),
            folder,
            boot,
            keep,
            seq: 0,
            told: 0,
            pruned: u32::MAX,
        };
        let (way, came) = sync_channel(ROOM);
        let thread = std::thread::Builder::new().name("audit".into()).spawn(move || writer.run(&came))?;
        Ok(Self { state, way: Mutex::new(Some(way)), thread: Mutex::new(Some(thread)) })
    }
}

/// The thread's side.
struct Writer {
    journal: Journal,
    limiter: Arc<Mutex<Limiter>>,
    state: Arc<State>,
    folder: PathBuf,
    boot: Boot,
    keep: Keep,
    seq: u64,
    /// Events that were dropped, as far as a line tells it.
    told: u64,
    /// How many files were begun when old ones were last looked for.
    pruned: u32,
}

impl Writer {
    fn run(mut self, came: &Receiver<Map<String, Value>>) {
        loop {
            match came.recv_timeout(TURN) {
                Ok(line) => {
                    self.push(line);
                    came.try_iter().take(ROOM).for_each(|line| self.push(line));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.tell_counts(Timestamp::now());
            self.tell_dropped();
            self.journal.run(Timestamp::now());
            self.prune();
        }
        self.tell_dropped();
        self.journal.finish(Timestamp::now());
        if !self.journal.is_settled() {
            tracing::error!("the end of the audit log could not be written");
        }
    }

    /// Tells at an interval's end what was not written one by one in it, whether or not more comes.
    fn tell_counts(&mut self, now: Timestamp) {
        let counts = self.limiter.lock().unwrap_or_else(PoisonError::into_inner).turn(now);
        for line in counts.iter().map(counted) {
            trace(&line, true);
            self.push(line);
        }
    }

    /// Tells in the log itself how many events it lacks.
    fn tell_dropped(&mut self) {
        let dropped = self.state.dropped();
        if dropped > self.told && !self.journal.is_full() {
            let mut line = line(Timestamp::now(), "dropped", &Who::default());
            line.insert("count".into(), (dropped - self.told).into());
            self.told = dropped;
            self.push(line);
        }
    }

    fn push(&mut self, mut line: Map<String, Value>) {
        if self.journal.is_full() {
            self.state.drop_lines(1);
            return;
        }
        self.seq += 1;
        line.insert("boot".into(), self.boot.as_str().into());
        line.insert("seq".into(), self.seq.into());
        match serde_json::to_vec(&line) {
            Ok(line) => self.journal.push(&line, Timestamp::now()),
            Err(_) => self.state.drop_lines(1),
        }
    }

    fn prune(&mut self) {
        if self.pruned != self.journal.begun() {
            self.pruned = self.journal.begun();
            let today = day(Timestamp::now());
            if let Err(error) = prune(&self.folder, FAMILY, &self.boot, self.keep, today) {
                tracing::warn!(%error, "old audit files could not be looked for");
            }
        }
    }
}
