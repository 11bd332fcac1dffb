//! The handle, and the thread that writes.

use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::event::{Event, Who, line};
use super::limiter::{Count, Limiter};
use crate::journal::time::text;
use crate::journal::{Kept, ROOM, State, Way};
use crate::metrics::Metrics;

/// What the names of the log's files begin with.
pub const FAMILY: &str = "audit";
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
    log: Option<Way<Map<String, Value>>>,
}

impl Audit {
    /// Opens the log, mends what a crash left, and starts the thread that writes.
    ///
    /// # Errors
    /// When the folder can be neither made nor read, or there is no thread left.
    pub fn start(options: &AuditOptions, metrics: &Metrics) -> io::Result<Self> {
        let limiter = Arc::new(Mutex::new(Limiter::new(Timestamp::now())));
        let log = match &options.folder {
            Some(folder) => {
                let kept = Kept::open(FAMILY, folder, (options.keep_bytes, options.sync), metrics)?;
                let state = Arc::clone(kept.state());
                let writer = Writer { kept, limiter: Arc::clone(&limiter), seq: 0, told: 0 };
                Some(Way::start(FAMILY, state, move |came| writer.run(came))?)
            }
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
        self.inner.log.as_ref().map(Way::state)
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
            log.send(line);
        }
    }

    fn stop(&self) {
        let counts = self.limiter.lock().unwrap_or_else(PoisonError::into_inner).end(Timestamp::now());
        counts.iter().for_each(|count| self.count(count));
        if let Some(log) = &self.log {
            log.stop();
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

/// The thread's side.
struct Writer {
    kept: Kept,
    limiter: Arc<Mutex<Limiter>>,
    seq: u64,
    /// Events that were dropped, as far as a line tells it.
    told: u64,
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
            self.kept.run();
        }
        self.tell_dropped();
        self.kept.finish();
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
        let dropped = self.kept.state().dropped();
        if dropped > self.told && !self.kept.is_full() {
            let mut line = line(Timestamp::now(), "dropped", &Who::default());
            line.insert("count".into(), (dropped - self.told).into());
            self.told = dropped;
            self.push(line);
        }
    }

    fn push(&mut self, mut line: Map<String, Value>) {
        if self.kept.is_full() {
            self.kept.state().drop_lines(1);
            return;
        }
        self.seq += 1;
        line.insert("boot".into(), self.kept.boot().as_str().into());
        line.insert("seq".into(), self.seq.into());
        match serde_json::to_vec(&line) {
            Ok(line) => self.kept.push(&line),
            Err(_) => self.kept.state().drop_lines(1),
        }
    }
}
