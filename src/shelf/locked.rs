//! The lock that whoever changes a task's folder takes.

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::error::Error;

/// File that is locked.
const LOCK_FILE: &str = ".lock";
/// Longest wait for others: one of them may hang, or have been stopped.
const LONGEST: Duration = Duration::from_secs(10);
/// Time between two tries.
const STEP: Duration = Duration::from_millis(5);

/// Keeps other changes of a task's folder waiting until it is dropped.
pub(super) fn locked(folder: &Path) -> Result<File, Error> {
    fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let path = folder.join(LOCK_FILE);
    let file = File::options().create(true).append(true).open(&path).map_err(Error::io(&path))?;
    let started = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if started.elapsed() < LONGEST => thread::sleep(STEP),
            Err(TryLockError::WouldBlock) => return Err(Error::Locked { path, waited: LONGEST }),
            Err(TryLockError::Error(error)) => return Err(Error::io(&path)(error)),
        }
    }
}
