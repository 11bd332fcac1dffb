//! Lines on their way to the disk.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};

use super::medium::{Medium, Sheet};
use super::name::{Boot, Name};
use super::state::State;
use super::time;

/// Most bytes of lines that are held before the next must wait.
const HELD_BYTES: usize = 8 << 20;
/// Shortest time between tries while the disk fails.
const PATIENCE: SignedDuration = SignedDuration::from_secs(1);
/// Failures in a row after which another file is tried.
const MOST_FAILURES: u32 = 5;

/// Where and how a journal is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder; others may write to it too.
    pub folder: PathBuf,
    /// What the names of its files begin with.
    pub family: &'static str,
    /// Who writes.
    pub boot: Boot,
    /// Size at which the next file is begun.
    pub file_bytes: u64,
    /// Longest time until a written line is on the disk.
    pub sync: SignedDuration,
}

/// A family of files that grows by lines. Time is an argument of every method.
#[derive(Debug)]
pub struct Journal {
    options: Options,
    medium: Box<dyn Medium>,
    open: Option<Open>,
    /// Lines that are not known to be on the disk.
    held: Vec<u8>,
    held_lines: u64,
    /// How much of what is held is in the open file.
    written: usize,
    /// When the oldest line that is held came.
    since: Option<Timestamp>,
    synced_at: Timestamp,
    retry_at: Option<Timestamp>,
    number: u32,
    state: Arc<State>,
}

/// The file that is written.
#[derive(Debug)]
struct Open {
    sheet: Box<dyn Sheet>,
    day: Date,
    bytes: u64,
    synced: u64,
    /// Failures in a row.
    failures: u32,
}

impl Journal {
    /// Begins no file yet: a process without lines leaves none.
    pub fn new(options: Options, medium: Box<dyn Medium>, state: Arc<State>, now: Timestamp) -> Self {
        Self {
            options,
            medium,
            open: None,
            held: Vec::new(),
            held_lines: 0,
            written: 0,
            since: None,
            synced_at: now,
            retry_at: None,
            number: 0,
            state,
        }
    }

    /// Takes a line without its end.
    pub fn push(&mut self, line: &[u8], now: Timestamp) {
        self.held.extend_from_slice(line);
        self.held.push(b'\n');
        self.held_lines += 1;
        self.since.get_or_insert(now);
    }

    /// Whether more lines had better wait: the disk fails or is slow.
    pub fn is_behind(&self) -> bool {
        self.retry_at.is_some() || self.is_full()
    }

    /// Whether as much is held as may be.
    pub fn is_full(&self) -> bool {
        self.held.len() >= HELD_BYTES
    }

    /// Whether every line is on the disk.
    pub fn is_settled(&self) -> bool {
        self.held.is_empty()
    }

    /// How many files were begun.
    pub fn begun(&self) -> u32 {
        self.number
    }

    /// Writes what is held, and syncs it when that is due. A failure is counted and tried again.
    pub fn run(&mut self, now: Timestamp) {
        if self.retry_at.is_none_or(|at| now >= at || at - now > PATIENCE * 2) {
            let outcome = self.write(now).and_then(|()| self.sync_when_due(now));
            self.judge(outcome, now);
        }
        let lag = self.since.map_or(0.0, |since| (now - since).as_secs_f64());
        self.state.lag.set(lag);
    }

    /// Writes and syncs everything now, whatever failed before.
    pub fn finish(&mut self, now: Timestamp) {
        let outcome = self.write(now).and_then(|()| self.sync(now));
        self.judge(outcome, now);
    }

    fn judge(&mut self, outcome: io::Result<()>, now: Timestamp) {
        match outcome {
            Ok(()) if self.retry_at.take().is_some() => self.state.recover(),
            Ok(()) => {}
            Err(error) => {
                self.state.fail(&error);
                self.retry_at = Some(now + PATIENCE);
                self.take_back(&error);
            }
        }
    }

    /// Has everything that is held written again: to the same place of the same file, which readers find unchanged, or to
    /// another file. Readers know lines that are in both by their numbers.
    fn take_back(&mut self, error: &io::Error) {
        self.written = 0;
        if let Some(open) = &mut self.open {
            open.bytes = open.synced;
            open.failures += 1;
            // A full disk must not fill with names of empty files.
            let is_full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
            let is_lost = !is_full && open.failures >= MOST_FAILURES;
            if is_lost || error.kind() == io::ErrorKind::FileTooLarge || !open.sheet.is_there() {
                self.open = None;
            }
        }
    }

    fn write(&mut self, now: Timestamp) -> io::Result<()> {
        if self.written == self.held.len() {
            return Ok(());
        }
        self.turn(now)?;
        let fresh = &self.held[self.written..];
        let open = match &mut self.open {
            Some(open) => open,
            None => self.open.insert(begin(&self.options, &*self.medium, &mut self.number, now)?),
        };
        if !open.sheet.is_there() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the file is gone"));
        }
        open.sheet.write_at(open.bytes, fresh)?;
        open.bytes += fresh.len() as u64;
        self.written = self.held.len();
        Ok(())
    }

    /// Ends the file at the end of its day, or when it is large enough.
    fn turn(&mut self, now: Timestamp) -> io::Result<()> {
        let (day, most) = (time::day(now), self.options.file_bytes);
        let is_over = |open: &Open| open.day != day || open.bytes >= most;
        if self.open.as_ref().is_some_and(is_over) {
            self.sync(now)?;
            self.open = None;
        }
        Ok(())
    }

    fn sync_when_due(&mut self, now: Timestamp) -> io::Result<()> {
        // A clock that was set back must not put the next sync off. After a failure only a sync shows that all is well.
        let passed = (now - self.synced_at).abs();
        let is_due = self.retry_at.is_some() || self.is_full() || passed >= self.options.sync;
        if is_due { self.sync(now) } else { Ok(()) }
    }

    fn sync(&mut self, now: Timestamp) -> io::Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        if open.synced != open.bytes {
            open.sheet.sync()?;
            (open.synced, open.failures) = (open.bytes, 0);
        }
        self.synced_at = now;
        let rest = self.held.split_off(self.written);
        self.state.bytes.inc_by(self.held.len() as u64);
        let left = rest.iter().filter(|&&byte| byte == b'\n').count() as u64;
        self.state.lines.inc_by(self.held_lines - left);
        (self.held, self.held_lines, self.written) = (rest, left, 0);
        self.since = if self.held.is_empty() { None } else { Some(now) };
        Ok(())
    }
}

/// Begins the next file.
fn begin(options: &Options, medium: &dyn Medium, number: &mut u32, now: Timestamp) -> io::Result<Open> {
    // A number is used once, also where the file could not be begun: half of it may be there.
    *number += 1;
    let path = options.folder.join(Name::compose(options.family, now, &options.boot, *number));
    Ok(Open { sheet: medium.begin(&path)?, day: time::day(now), bytes: 0, synced: 0, failures: 0 })
}
