//! Sums over a folder.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::charge::Sum;
use super::line::{FAMILY, Line};
use crate::journal::time::day;
use crate::journal::{Found, LINE_BYTES, Seen, files, lines};

/// Most bad lines that are named.
const NAMED: usize = 100;
/// Most rows of a bill.
const MOST_ROWS: usize = 1_000_000;

/// What one row of a bill is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// A tenant.
    Tenant,
    /// A task of a tenant.
    Task,
    /// A key of a tenant.
    Key,
    /// A tenant's UTC day.
    Day,
}

impl By {
    /// The name of the second column; a tenant's row has none.
    pub fn column(self) -> Option<&'static str> {
        match self {
            Self::Tenant => None,
            Self::Task => Some("task"),
            Self::Key => Some("key"),
            Self::Day => Some("day"),
        }
    }

    fn row(self, line: Line) -> BillRow {
        let part = match self {
            Self::Tenant => None,
            Self::Task => Some(line.task.unwrap_or_default()),
            Self::Key => Some(line.key.unwrap_or_default()),
            Self::Day => Some(line.from.chars().take(10).collect()),
        };
        BillRow { tenant: line.tenant, part }
    }
}

/// Lines from a time to before another, by their beginning.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    /// The first moment.
    pub from: Timestamp,
    /// The first moment after it.
    pub to: Timestamp,
}

/// Whose sum it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BillRow {
    /// The tenant.
    pub tenant: String,
    /// The task, key or day, where rows are by one; empty where the use had none.
    pub part: Option<String>,
}

/// A line that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// The line's number, from 1.
    pub line: u64,
    /// What is wrong.
    pub what: String,
}

/// Sums over every file of a folder.
#[derive(Clone, Debug, Default)]
pub struct Bill {
    /// Sums.
    pub rows: BTreeMap<BillRow, Sum>,
    /// The sum of all rows.
    pub all: Sum,
    /// Files read.
    pub files: u64,
    /// Lines summed.
    pub lines: u64,
    /// Lines dropped because they were read before.
    pub repeated: u64,
    /// Files whose last line has no end: a server is writing it, or a crash cut it.
    pub torn: u64,
    /// Lines that could not be read.
    pub bad: u64,
    /// The first of them.
    pub problems: Vec<Problem>,
}

/// Sums every line of a range. One line is held at a time, so that a log of any size can be summed.
///
/// # Errors
/// When the folder or a file cannot be read, or the bill has more than a million rows.
pub fn bill(folder: &Path, range: Range, by: By) -> io::Result<Bill> {
    let (mut bill, mut seen) = (Bill::default(), Seen::default());
    for (path, name) in files(folder, FAMILY)? {
        // A file's lines begin on its day or, where the disk failed, before.
        if name.day < day(range.from) {
            continue;
        }
        bill.files += 1;
        let mut number = 0;
        lines(&path, 0, |found| {
            number += 1;
            if let Err(what) = bill.add(found, (range, by), &mut seen) {
                bill.bad += 1;
                if bill.problems.len() < NAMED {
                    bill.problems.push(Problem { file: path.clone(), line: number, what });
                }
            }
        })?;
        if bill.rows.len() > MOST_ROWS {
            let what = format!("more than {MOST_ROWS} rows: choose a shorter time, or rows by tenant");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
    }
    Ok(bill)
}

impl Bill {
    fn add(&mut self, found: Found<'_>, (range, by): (Range, By), seen: &mut Seen) -> Result<(), String> {
        let text = match found {
            Found::Whole(text) => text,
            Found::Long => return Err(format!("longer than {LINE_BYTES} bytes")),
            Found::Torn => {
                self.torn += 1;
                return Ok(());
            }
        };
        let line = Line::parse(text)?;
        if !seen.note(&line.boot, line.seq) {
            self.repeated += 1;
        } else if (range.from..range.to).contains(&line.at()) {
            self.lines += 1;
            let sum = line.sum;
            self.all.add(&sum);
            self.rows.entry(by.row(line)).or_default().add(&sum);
        }
        Ok(())
    }
}
