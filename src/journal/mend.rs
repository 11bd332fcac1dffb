//! Last lines that a crash cut in two.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::name::files;

/// How much of a file's end is looked at a time.
const STEP: u64 = 64 << 10;

/// Cuts every file of a family that nobody writes now to its last whole line, puts it on the disk, and gives how many that
/// changed.
///
/// # Errors
/// When the folder cannot be listed. A file that cannot be mended is logged and left.
pub fn mend(folder: &Path, family: &str) -> io::Result<usize> {
    let mut mended = 0;
    for (path, _) in files(folder, family)? {
        match mend_file(&path) {
            Ok(0) => {}
            Ok(bytes) => {
                tracing::warn!(file = %path.display(), bytes, "cut off the half line that a crash left");
                mended += 1;
            }
            Err(error) => tracing::warn!(file = %path.display(), %error, "cannot be mended"),
        }
    }
    Ok(mended)
}

/// Gives how many bytes were cut off.
fn mend_file(path: &Path) -> io::Result<u64> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    if whole(&file, length)? == length {
        // A process that was killed may have left lines that are not on the disk yet.
        file.sync_all()?;
        return Ok(0);
    }
    let file = File::options().read(true).write(true).open(path)?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        // Another server is writing that line, or nobody can tell.
        return Ok(0);
    }
    let length = file.metadata()?.len();
    let whole = whole(&file, length)?;
    if whole < length {
        file.set_len(whole)?;
        file.sync_all()?;
    }
    Ok(length - whole)
}

/// The length of a file's whole lines.
fn whole(file: &File, length: u64) -> io::Result<u64> {
    let mut end = length;
    // Mostly the last byte decides.
    let mut step = 1;
    while end > 0 {
        let start = end.saturating_sub(step);
        let mut part = vec![0; (end - start) as usize];
        file.read_exact_at(&mut part, start)?;
        if let Some(at) = part.iter().rposition(|&byte| byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        (end, step) = (start, STEP);
    }
    Ok(0)
}
