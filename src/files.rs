//! Atomic writes, and looking at folders.

mod disk;
mod notices;
pub mod pem;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

pub use disk::{Disk, Entry, FileState, System};
pub use notices::{Notice, Notices, is_remote};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

/// A hidden neighbour of `path` to write to before renaming; scans of the folder ignore it. Each call gives another name:
/// the process's number alone is the same in every container.
pub fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_nanos());
    path.with_file_name(format!(
        ".{name}.{}.{time:x}.{:x}.partial",
        std::process::id(),
        rand::random::<u32>()
    ))
}

/// Renames a folder to a name that must be free, an empty folder's too.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] when the name is taken; else the system's reason.
pub fn rename_to_free(folder: &Path, target: &Path) -> io::Result<()> {
    match renameat_with(CWD, folder, CWD, target, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        // A file system that has no such rename: making the folder takes the name, renaming replaces the empty one.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
            fs::create_dir(target)?;
            fs::rename(folder, target)
        }
        Err(error) => Err(error.into()),
    }
}

/// Writes `bytes` beside `path`, flushes them to the disk and renames them into place.
///
/// # Errors
/// The system's reason; the old file, if any, is then untouched.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let partial = beside(path);
    let written = write_synced(&partial, bytes).and_then(|()| fs::rename(&partial, path));
    if written.is_err() {
        // Best effort: the write already failed and that is the error to report.
        let _ = fs::remove_file(&partial);
    }
    written
}

/// Flushes the names in a folder to the disk.
///
/// # Errors
/// The system's reason.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Whether an error says that nothing stands at a path, rather than that looking failed.
pub fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// A text without the byte-order mark that some editors put before it.
pub fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
