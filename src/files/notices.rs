//! Change notices of folders, where the system gives them (inotify).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

/// Room for some hundred notices a read.
const BUFFER_BYTES: usize = 16 << 10;

/// File systems whose changes on other machines give no notice here (`f_type` of statfs(2)).
const REMOTE: [u32; 14] = [
    0x6969,      // NFS
    0x517b,      // SMB
    0xff53_4d42, // CIFS
    0xfe53_4d42, // SMB2
    0x6573_5546, // FUSE, virtiofs
    0x0102_1997, // 9P
    0x00c3_6400, // Ceph
    0x5346_414f, // AFS
    0x7375_7245, // Coda
    0x0bd0_0bd0, // Lustre
    0x4750_4653, // GPFS
    0x7461_636f, // OCFS2
    0x0116_1970, // GFS2
    0x786f_4256, // VirtualBox's shared folders
];

/// What a notice tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A name came to a watched folder or left it.
    Changed {
        /// The folder's number, as [`Notices::watch`] gave it.
        folder: i32,
        /// The name; none when the folder itself went.
        name: Option<String>,
    },
    /// There were more notices than the system keeps: anything may have changed.
    Overflow,
}

/// Folders under watch.
#[derive(Debug)]
pub struct Notices(OwnedFd);

impl Notices {
    /// Starts with no folder.
    ///
    /// # Errors
    /// The system's reason: `max_user_instances` reached, or no descriptor left.
    pub fn new() -> io::Result<Self> {
        Ok(Self(inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?))
    }

    /// Watches a folder for names that come, go or are renamed, and gives its number. A folder that is watched already
    /// keeps its number.
    ///
    /// # Errors
    /// The system's reason; [`io::ErrorKind::StorageFull`] means that `max_user_watches` is reached.
    pub fn watch(&self, folder: &Path) -> io::Result<i32> {
        let names = WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::MOVE;
        let itself = WatchFlags::DELETE_SELF | WatchFlags::MOVE_SELF | WatchFlags::ONLYDIR;
        Ok(inotify::add_watch(&self.0, folder, names | itself)?)
    }

    /// Ends a watch, if the system has not ended it already with its folder.
    pub fn unwatch(&self, folder: i32) {
        let _ = inotify::remove_watch(&self.0, folder);
    }

    /// What has changed since the last call; returns at once.
    ///
    /// # Errors
    /// The system's reason.
    pub fn take(&self) -> io::Result<Vec<Notice>> {
        let mut buffer = vec![MaybeUninit::uninit(); BUFFER_BYTES];
        let mut reader = inotify::Reader::new(&self.0, &mut buffer);
        let mut taken = Vec::new();
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) => return Ok(taken),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            if event.events().contains(ReadFlags::QUEUE_OVERFLOW) {
                taken.push(Notice::Overflow);
            } else {
                let name = event.file_name().map(|name| name.to_string_lossy().into_owned());
                taken.push(Notice::Changed { folder: event.wd(), name });
            }
        }
    }
}

/// Whether a folder's file system may be changed by other machines without a notice here.
///
/// # Errors
/// The system's reason.
pub fn is_remote(folder: &Path) -> io::Result<bool> {
    // The type is 32 bits wide, whatever word it stands in.
    let kind = rustix::fs::statfs(folder)?.f_type as u32;
    Ok(REMOTE.contains(&kind))
}
