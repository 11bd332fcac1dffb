//! One flush after the other; time is an argument.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use super::book::{Book, Row};
use super::charge::{Billed, Charge};
use super::line::{FAMILY, Line, VERSION};
use super::record::Progress;
use super::shards::Shards;
use super::totals::Used;
use crate::journal::time::{day, text};
use crate::journal::{Boot, Journal, Keep, Medium, Options, State, mend, prune};
use crate::metrics::Metrics;

/// How often lines of other servers are looked for.
const LOOK: SignedDuration = SignedDuration::from_secs(10);
/// How often totals are stored.
const STORE: SignedDuration = SignedDuration::from_secs(60);

/// Where the log is kept.
#[derive(Debug)]
pub struct Log {
    /// The folder. It is made if it is missing.
    pub folder: PathBuf,
    /// Who writes.
    pub boot: Boot,
    /// What is written through.
    pub medium: Box<dyn Medium>,
    /// Size at which the next file is begun.
    pub file_bytes: u64,
    /// Longest time until a written line is on the disk.
    pub sync: SignedDuration,
    /// Days after which files are deleted; none keeps all.
    pub keep_days: Option<u32>,
}

/// What requests and the keeper share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) shards: Shards,
    book: Mutex<Book>,
}

impl Shared {
    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes what requests counted to the log.
#[derive(Debug)]
pub struct Keeper {
    pub(super) shared: Arc<Shared>,
    written: Option<Written>,
}

/// The log's side.
#[derive(Debug)]
struct Written {
    journal: Journal,
    state: Arc<State>,
    folder: PathBuf,
    boot: Boot,
    keep: Keep,
    seq: u64,
    progress: Progress,
    /// When other servers' lines were last looked for.
    looked: Timestamp,
    stored: Timestamp,
    /// What was begun when old files were last looked for.
    pruned: (u32, Date),
}

impl Keeper {
    /// Opens the log, mends what a crash left, and reads totals.
    ///
    /// # Errors
    /// When the folder can be neither made nor read.
    pub fn open(log: Option<Log>, labels: usize, metrics: &Arc<Metrics>, now: Timestamp) -> io::Result<Self> {
        let book = Mutex::new(Book::new(Arc::clone(metrics), labels, now));
        let shared = Arc::new(Shared { shards: Shards::new(), book });
        let written = match log {
            Some(log) => Some(Written::open(log, metrics, &shared.book, now)?),
            None => None,
        };
        Ok(Self { shared, written })
    }

    /// Counts. True where a flush is due early.
    pub fn charge(&self, who: &Billed, what: &Charge) -> bool {
        self.shared.shards.add(who, what)
    }

    /// What a tenant used until now.
    pub fn of(&self, tenant: &str, now: Timestamp) -> Used {
        let mut book = self.shared.book();
        book.settle(&self.shared.shards, now);
        book.of(tenant, now)
    }

    /// Flushes.
    pub fn tick(&mut self, now: Timestamp) {
        let Self { shared, written } = self;
        shared.book().settle(&shared.shards, now);
        let Some(written) = written else {
            shared.book().take();
            return;
        };
        if !written.journal.is_behind() {
            let rows = shared.book().take();
            written.push(rows, now);
        }
        written.journal.run(now);
        written.prune(now);
        written.look(&shared.book, now);
        if is_due(written.stored, STORE, now) {
            written.store(&shared.book, now);
        }
    }

    /// Flushes for the last time.
    pub fn finish(&mut self, now: Timestamp) {
        let Self { shared, written } = self;
        shared.book().settle(&shared.shards, now);
        if let Some(written) = written {
            let rows = shared.book().take();
            written.push(rows, now);
            written.journal.finish(now);
            written.store(&shared.book, now);
            if !written.journal.is_settled() {
                tracing::error!("the end of the usage log could not be written");
            }
        }
    }

    /// Whether everything that was counted at the last flush is written.
    pub fn is_flushed(&self) -> bool {
        let is_behind = self.written.as_ref().is_some_and(|written| written.journal.is_behind());
        !is_behind && self.shared.book().is_empty()
    }

    /// Whether it is on the disk too.
    pub fn is_settled(&self) -> bool {
        self.is_flushed() && self.written.as_ref().is_none_or(|written| written.journal.is_settled())
    }

    /// What is counted and shown of the log.
    pub fn state(&self) -> Option<Arc<State>> {
        self.written.as_ref().map(|written| Arc::clone(&written.state))
    }
}

impl Written {
    fn open(log: Log, metrics: &Metrics, book: &Mutex<Book>, now: Timestamp) -> io::Result<Self> {
        let Log { folder, boot, medium, file_bytes, sync, keep_days } = log;
        std::fs::create_dir_all(&folder)?;
        mend(&folder, FAMILY)?;
        let mut progress = Progress::load(&folder, book);
        progress.catch_up(&folder, &boot, (book, day(now)))?;
        let options =
            Options { folder: folder.clone(), family: FAMILY, boot: boot.clone(), file_bytes, sync };
        let state = State::new(FAMILY, metrics);
        let journal = Journal::new(options, medium, Arc::clone(&state), now);
        let keep = Keep { bytes: None, days: keep_days };
        let pruned = (u32::MAX, day(now));
        Ok(Self { journal, state, folder, boot, keep, seq: 0, progress, looked: now, stored: now, pruned })
    }

    fn push(&mut self, rows: Vec<Row>, now: Timestamp) {
        for Row { who, from, sum } in rows {
            self.seq += 1;
            let line = Line {
                v: VERSION,
                boot: self.boot.to_string(),
                seq: self.seq,
                from: text(from),
                to: text(now),
                tenant: who.tenant.to_string(),
                key: who.key.as_deref().map(str::to_owned),
                task: who.task.as_deref().map(str::to_owned),
                sum,
            };
            match serde_json::to_vec(&line) {
                Ok(line) => self.journal.push(&line, now),
                // Texts and numbers always become JSON.
                Err(_) => self.state.drop_lines(1),
            }
        }
    }

    fn prune(&mut self, now: Timestamp) {
        let at = (self.journal.begun(), day(now));
        if self.pruned != at {
            self.pruned = at;
            if let Err(error) = prune(&self.folder, FAMILY, &self.boot, self.keep, day(now)) {
                tracing::warn!(%error, "old usage files could not be looked for");
            }
        }
    }

    fn look(&mut self, book: &Mutex<Book>, now: Timestamp) {
        if is_due(self.looked, LOOK, now) {
            self.looked = now;
            // The journal tells when the folder is gone.
            let _ = self.progress.catch_up(&self.folder, &self.boot, (book, day(now)));
        }
    }

    fn store(&mut self, book: &Mutex<Book>, now: Timestamp) {
        // Totals must hold no line that the files lack.
        if self.journal.is_settled() {
            self.stored = now;
            if let Err(error) = self.progress.store(&self.folder, &self.boot, (book, day(now))) {
                tracing::warn!(%error, "usage totals were not stored");
            }
        }
    }
}

fn is_due(last: Timestamp, every: SignedDuration, now: Timestamp) -> bool {
    (now - last).abs() >= every
}
