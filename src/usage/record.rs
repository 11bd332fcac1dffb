//! Totals and how far the log's files were read, as one value that can be stored.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::book::Book;
use super::line::{FAMILY, Line, VERSION};
use super::totals::{Stored, Totals};
use crate::files::{is_absence, write_atomically};
use crate::journal::time::{day, month};
use crate::journal::{Boot, Found, Seen, files, lines};

/// The file, beside the log's.
const FILE: &str = "usage-totals.json";
/// Largest file that is read.
const MOST_BYTES: u64 = 256 << 20;

/// How far the log's files were read.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Bytes read, by file.
    files: BTreeMap<String, u64>,
    seen: Seen,
}

/// What the file holds.
#[derive(Serialize, Deserialize)]
struct Content {
    v: u32,
    files: BTreeMap<String, u64>,
    seen: Seen,
    totals: Vec<Stored>,
}

impl Progress {
    /// Reads what was stored last; without it the log is read from its beginning.
    pub(super) fn load(folder: &Path, book: &Mutex<Book>) -> Self {
        let shrunk = |(file, &read): (&String, &u64)| {
            folder.join(file).metadata().is_ok_and(|found| found.len() < read)
        };
        match read(&folder.join(FILE)) {
            Ok(Some(content)) if content.files.iter().any(shrunk) => {
                tracing::warn!(file = FILE, "tells of lines that are gone; the whole log is read instead");
                Self::default()
            }
            Ok(Some(Content { files, seen, totals, .. })) => {
                book.lock().unwrap_or_else(PoisonError::into_inner).totals = Totals::load(totals);
                Self { files, seen }
            }
            Ok(None) => Self::default(),
            Err(error) => {
                tracing::warn!(file = FILE, %error, "not used; the whole log is read instead");
                Self::default()
            }
        }
    }

    /// Adds lines that other processes wrote since the last time, of this month and the last.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub(super) fn catch_up(
        &mut self,
        folder: &Path,
        own: &Boot,
        (book, today): (&Mutex<Book>, Date),
    ) -> io::Result<()> {
        for (path, name) in files(folder, FAMILY)? {
            if name.boot == *own || month(today) - month(name.day) > 1 {
                continue;
            }
            let key = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let from = self.files.get(&key).copied().unwrap_or_default();
            if path.metadata().is_ok_and(|found| found.len() == from) {
                continue;
            }
            match lines(&path, from, |found| self.add(found, book)) {
                Ok(end) => {
                    self.files.insert(key, end);
                }
                Err(error) => tracing::warn!(file = %path.display(), %error, "cannot be read"),
            }
        }
        Ok(())
    }

    fn add(&mut self, found: Found<'_>, book: &Mutex<Book>) {
        // `server usage` names lines that cannot be read.
        let Found::Whole(text) = found else { return };
        let Ok(line) = Line::parse(text) else { return };
        if self.seen.note(&line.boot, line.seq) {
            let task = line.task.as_deref().unwrap_or_default();
            let totals = &mut book.lock().unwrap_or_else(PoisonError::into_inner).totals;
            totals.add(&line.tenant, (task, day(line.at())), &line.sum);
        }
    }

    /// Stores the totals. Every line of `own` must be on the disk.
    ///
    /// # Errors
    /// The system's reason.
    pub(super) fn store(
        &mut self,
        folder: &Path,
        own: &Boot,
        (book, today): (&Mutex<Book>, Date),
    ) -> io::Result<()> {
        let found = files(folder, FAMILY)?;
        let file = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut kept = BTreeMap::new();
        for (path, name) in &found {
            let read = match name.boot == *own {
                true => Some(fs::metadata(path)?.len()),
                false => self.files.get(&file(path)).copied(),
            };
            kept.extend(read.map(|bytes| (file(path), bytes)));
        }
        let boots: HashSet<&str> = found.iter().map(|(_, name)| name.boot.as_str()).collect();
        self.seen.retain(|boot| boots.contains(boot));
        self.files = kept;
        let totals = {
            let totals = &mut book.lock().unwrap_or_else(PoisonError::into_inner).totals;
            totals.forget(today);
            totals.store()
        };
        let content = Content { v: VERSION, files: self.files.clone(), seen: self.seen.clone(), totals };
        write_atomically(&folder.join(FILE), &serde_json::to_vec(&content)?)
    }
}

fn read(path: &Path) -> io::Result<Option<Content>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if is_absence(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = Vec::new();
    file.take(MOST_BYTES).read_to_end(&mut text)?;
    let content: Content = serde_json::from_slice(&text)?;
    Ok(Some(content).filter(|content| content.v == VERSION))
}
