//! What a journal writes through: a value, so that a test can make any write fail.

use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

/// Makes files.
pub trait Medium: Debug + Send {
    /// Begins a file that must not exist.
    ///
    /// # Errors
    /// The system's reason.
    fn begin(&self, path: &Path) -> io::Result<Box<dyn Sheet>>;
}

/// A file that grows at its end.
pub trait Sheet: Debug + Send {
    /// Writes at a place; a failure may leave a part.
    ///
    /// # Errors
    /// The system's reason.
    fn write_at(&mut self, place: u64, bytes: &[u8]) -> io::Result<()>;

    /// Returns once everything is on the disk.
    ///
    /// # Errors
    /// The system's reason. What was written since the last success may be lost then, even if the next sync succeeds.
    fn sync(&mut self) -> io::Result<()>;

    /// Whether the file still has a name: what is written to one without is lost.
    fn is_there(&self) -> bool;
}

/// The machine's own file systems. Each file is locked while it is written, which tells others that it is in use.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemMedium;

impl Medium for SystemMedium {
    fn begin(&self, path: &Path) -> io::Result<Box<dyn Sheet>> {
        let file = File::options().write(true).create_new(true).open(path)?;
        // Where there are no locks, others mend nothing, and delete only what is old.
        let _ = flock(&file, FlockOperation::NonBlockingLockExclusive);
        // The name must be on the disk too.
        if let Some(folder) = path.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(Box::new(file))
    }
}

impl Sheet for File {
    fn write_at(&mut self, place: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, place)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn is_there(&self) -> bool {
        self.metadata().is_ok_and(|found| found.nlink() > 0)
    }
}
