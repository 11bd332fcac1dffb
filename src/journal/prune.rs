//! Old files that are no longer kept.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use jiff::civil::Date;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::name::{Boot, files};

/// What is kept of a family. With neither limit everything is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Keep {
    /// Most bytes; the oldest files go first.
    pub bytes: Option<u64>,
    /// Days after which a file goes.
    pub days: Option<u32>,
}

/// Deletes files that are no longer kept and that nobody writes; gives how many.
///
/// # Errors
/// When the folder cannot be listed. A file that cannot be deleted is logged and left.
pub fn prune(folder: &Path, family: &str, own: &Boot, keep: Keep, today: Date) -> io::Result<usize> {
    if keep.bytes.is_none() && keep.days.is_none() {
        return Ok(0);
    }
    let found = files(folder, family)?;
    let size = |path: &Path| path.metadata().map_or(0, |found| found.len());
    let mut total: u64 = found.iter().map(|(path, _)| size(path)).sum();
    let last_own = found.iter().rposition(|(_, name)| name.boot == *own);
    let mut deleted = 0;
    for (i, (path, name)) in found.iter().enumerate() {
        let age = (today - name.day).get_days();
        let is_old = keep.days.is_some_and(|days| age > i32::try_from(days).unwrap_or(i32::MAX));
        let is_much = keep.bytes.is_some_and(|bytes| total > bytes);
        if !(is_old || is_much) || last_own == Some(i) || is_written(path) {
            continue;
        }
        let bytes = size(path);
        match fs::remove_file(path) {
            Ok(()) => {
                tracing::info!(file = %path.display(), bytes, "deleted: no longer kept");
                (total, deleted) = (total.saturating_sub(bytes), deleted + 1);
            }
            Err(error) => tracing::warn!(file = %path.display(), %error, "cannot be deleted"),
        }
    }
    Ok(deleted)
}

/// Whether somebody writes a file: writers lock theirs, where there are locks.
fn is_written(path: &Path) -> bool {
    let lock = |file: File| flock(&file, FlockOperation::NonBlockingLockExclusive);
    File::open(path).is_ok_and(|file| lock(file) == Err(Errno::WOULDBLOCK))
}
