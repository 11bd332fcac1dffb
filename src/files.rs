//! Atomic writes, and looking at folders.

mod disk;
mod notices;
pub mod pem;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

/// Removes folders that [`beside`] named for `path` more than `age` before `now`: a crash left them. Who wrote them so long
/// ago is gone, here or on another machine.
///
/// # Errors
/// When the neighbours cannot be listed. One that cannot be removed is logged and left.
pub fn sweep(path: &Path, age: Duration, now: SystemTime) -> io::Result<usize> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Ok(0) };
    let (beginning, mut swept) = (format!(".{}.", name.to_string_lossy()), 0);
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let found = entry.file_name().to_string_lossy().into_owned();
        let written = found.strip_prefix(&beginning).and_then(written_at);
        if written.is_none_or(|written| {
            now.duration_since(written).is_ok_and(|passed| passed <= age) || written > now
        }) {
            continue;
        }
        match fs::remove_dir_all(entry.path()) {
            Ok(()) => swept += 1,
            Err(error) => {
                tracing::warn!(folder = %entry.path().display(), %error, "what a crash left cannot be removed")
            }
        }
    }
    Ok(swept)
}

/// When a neighbour was named, by the rest of its name.
fn written_at(rest: &str) -> Option<SystemTime> {
    let mut parts = rest.strip_suffix(".partial")?.split('.');
    let (_process, time, _random) = (parts.next()?, parts.next()?, parts.next()?);
    let nanoseconds = u64::from_str_radix(time, 16).ok()?;
    parts.next().is_none().then(|| UNIX_EPOCH + Duration::from_nanos(nanoseconds))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_crash_left_long_ago_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("next");
        let left = beside(&path);
        let others =
            [beside(&dir.path().join("other")), dir.path().join("1"), dir.path().join(".next.x.partial")];
        others.iter().chain([&left]).for_each(|folder| fs::create_dir(folder).unwrap());
        let hour = Duration::from_secs(3600);
        let at = |hours: u32| SystemTime::now() + hour * hours;
        assert_eq!(sweep(&path, hour * 2, at(1)).unwrap(), 0, "it may still be written");
        assert_eq!(sweep(&path, hour * 2, SystemTime::UNIX_EPOCH).unwrap(), 0, "the clock was set back");
        fs::write(left.join("file"), "x").unwrap();
        assert_eq!(sweep(&path, hour * 2, at(3)).unwrap(), 1);
        assert!(!left.exists() && others.iter().all(|folder| folder.exists()));
    }
}
