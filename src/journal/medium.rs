//! What a journal writes through: a value, so that a test can make any write fail.

use std::fmt::Debug;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
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
    /// Appends; a failure may leave a part.
    ///
    /// # Errors
    /// The system's reason.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Returns once everything is on the disk.
    ///
    /// # Errors
    /// The system's reason; what was appended since the last success may be lost then.
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts the file to a length.
    ///
    /// # Errors
    /// The system's reason.
    fn cut(&mut self, bytes: u64) -> io::Result<()>;

    /// Whether the file still has a name: what is written to one without is lost.
    fn is_there(&self) -> bool;
}

/// The machine's own file systems. Each file is locked while it is written, which tells others that it is in use.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemMedium;

impl Medium for SystemMedium {
    fn begin(&self, path: &Path) -> io::Result<Box<dyn Sheet>> {
        let file = File::options().append(true).create_new(true).open(path)?;
        // Where there are no locks, others may take the file for an old one: they only cut half a line off.
        let _ = flock(&file, FlockOperation::NonBlockingLockExclusive);
        // The name must be on the disk too.
        if let Some(folder) = path.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(Box::new(file))
    }
}

impl Sheet for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn cut(&mut self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)
    }

    fn is_there(&self) -> bool {
        self.metadata().is_ok_and(|found| found.nlink() > 0)
    }
}
