//! Looking at folders and files by way of a value, so that a test can make any look fail.

use std::fmt::Debug;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

/// A name in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name; what is not UTF-8 in it is replaced.
    pub name: String,
    /// Whether it is a folder, or a link, which may lead to one.
    pub may_be_folder: bool,
}

/// By what a change of a file or folder is told. Times alone would not do: copying tools set them back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileState {
    /// The file system's device number.
    pub device: u64,
    /// The inode.
    pub inode: u64,
    /// Size, bytes.
    pub bytes: u64,
    /// When the content changed: seconds, nanoseconds.
    pub modified: (i64, i64),
    /// When anything changed, a name or a permission too: seconds, nanoseconds.
    pub changed: (i64, i64),
}

/// What the folder of packs is looked at through.
pub trait Disk: Debug + Send + Sync {
    /// Every name in a folder, or an error: never a part.
    ///
    /// # Errors
    /// The system's reason.
    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>>;

    /// The state of what a path leads to, links followed.
    ///
    /// # Errors
    /// The system's reason.
    fn state(&self, path: &Path) -> io::Result<FileState>;

    /// Size of a file, bytes.
    ///
    /// # Errors
    /// The system's reason.
    fn size(&self, path: &Path) -> io::Result<u64> {
        self.state(path).map(|state| state.bytes)
    }

    /// At most `limit` bytes of a file.
    ///
    /// # Errors
    /// The system's reason.
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>>;

    /// Writes a file that must not exist.
    ///
    /// # Errors
    /// The system's reason, [`io::ErrorKind::AlreadyExists`] among them.
    fn create(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
}

/// Opens a regular file that lies in the path's folder. A link may lead there and not outside; anything but a regular file is
/// refused rather than waited for.
fn open_inside(path: &Path) -> io::Result<File> {
    let wrong = |reason: &str| io::Error::new(io::ErrorKind::InvalidInput, reason.to_owned());
    let (folder, name) =
        path.parent().zip(path.file_name()).ok_or_else(|| wrong("not the path of a file"))?;
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let opened = rustix::fs::open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let file = match openat2(&opened, name, flags, Mode::empty(), ResolveFlags::BENEATH) {
        // A kernel or a sandbox without this call: no link is followed.
        Err(Errno::NOSYS | Errno::PERM) => openat(&opened, name, flags | OFlags::NOFOLLOW, Mode::empty()),
        other => other,
    };
    let file = File::from(file.map_err(|errno| match errno {
        Errno::XDEV => wrong("a link that leads outside its folder"),
        errno => errno.into(),
    })?);
    let kind = file.metadata()?.file_type();
    match (kind.is_file(), kind.is_dir()) {
        (true, _) => Ok(file),
        (_, true) => Err(io::Error::new(io::ErrorKind::IsADirectory, "a folder, not a file")),
        _ => Err(wrong("not a regular file")),
    }
}

/// The machine's own file systems.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl Disk for System {
    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        fs::read_dir(folder)?
            .map(|entry| {
                let entry = entry?;
                let kind = entry.file_type()?;
                let may_be_folder = kind.is_dir() || kind.is_symlink();
                Ok(Entry { name: entry.file_name().to_string_lossy().into_owned(), may_be_folder })
            })
            .collect()
    }

    fn state(&self, path: &Path) -> io::Result<FileState> {
        let found = fs::metadata(path)?;
        Ok(FileState {
            device: found.dev(),
            inode: found.ino(),
            bytes: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }

    fn size(&self, path: &Path) -> io::Result<u64> {
        Ok(open_inside(path)?.metadata()?.len())
    }

    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        open_inside(path)?.take(limit).read_to_end(&mut content)?;
        Ok(content)
    }

    fn create(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = File::options().write(true).create_new(true).open(path)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        if written.is_err() {
            // Best effort: the write already failed and that is the error to report.
            let _ = fs::remove_file(path);
        }
        written
    }
}
