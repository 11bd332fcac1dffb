//! Copies of packs on this disk, by digest: bounded, shared by processes, whole after any crash.
//!
//! A copy is a folder `packs/<digest>` that is written beside and renamed. Whoever reads one holds a shared lock on it;
//! whoever removes one needs an exclusive lock, so no copy goes while it is read. The folder's time is its last use.
//! Copies are not flushed to the disk: each process hashes what it has not written before it reads it.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, Timespec, Timestamps, UTIME_OMIT, flock, futimens};
use rustix::io::Errno;

use super::archive::{Archive, Incoming};
use super::digest::Digest;
use super::error::Error;
use super::place::Place;
use super::tally::Tally;
use super::verified::Verified;
use crate::files::{self, is_absence};
use crate::metrics::Metrics;
use crate::pack::{self, CONFIG_FILE, WEIGHTS_FILE};

/// Folder of the copies inside the folder of the cache.
const PACKS: &str = "packs";
/// Folder of what is coming.
const COMING: &str = "coming";
/// Age at which something half-written is taken for a crash's: no fetch lasts so long.
const STALE: Duration = Duration::from_secs(3600);
/// The part of the bound that is made free where it is passed.
const ROOM: u64 = 16;
/// How often a copy that came is given its name.
const TRIES: usize = 3;

/// The copies.
#[derive(Clone)]
pub struct Cache {
    root: PathBuf,
    limit: u64,
    verified: Verified,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cache({}, {} bytes at most)", self.root.display(), self.limit)
    }
}

/// A copy, for whoever looks for the least recently used.
struct Copied {
    folder: PathBuf,
    used: SystemTime,
    bytes: u64,
}

impl Cache {
    /// Opens the cache in `root`, which is made if need be, and counts what is there. Waits for the disk.
    ///
    /// # Errors
    /// When the folder cannot be made or listed.
    pub fn open(root: &Path, limit: u64, metrics: Arc<Metrics>) -> Result<Self, Error> {
        for folder in [PACKS, COMING] {
            let folder = root.join(folder);
            fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
        }
        let cache = Self { root: root.to_owned(), limit, verified: Verified::default(), metrics };
        cache.sweep()?;
        let mut tally = Tally::lock(root)?;
        // What crashes and losses of power left is counted.
        cache.shrink(&mut tally, None)?;
        Ok(cache)
    }

    /// The folder of the cache.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The copy of a digest, held against removal; none if there is none. One that is torn is removed. Waits for the disk.
    ///
    /// # Errors
    /// When the disk cannot tell.
    pub fn get(&self, digest: &Digest) -> Result<Option<Place>, Error> {
        let folder = self.folder(digest);
        let Some(place) = held(&folder).map_err(Error::io(&folder))? else { return Ok(None) };
        if self.verified.holds(digest, &folder)? {
            return Ok(Some(place));
        }
        tracing::warn!(%digest, "the copy on this disk is torn: it is fetched again");
        drop(place);
        self.discard(digest);
        Ok(None)
    }

    /// What a blob is written to as it comes. Waits for the disk.
    ///
    /// # Errors
    /// As [`Incoming::new`].
    pub(super) fn incoming(&self) -> Result<Incoming, Error> {
        Incoming::new(&self.root.join(COMING))
    }

    /// Unpacks a blob whose bytes were verified, and gives the copy. Of two that come at once one stays.
    ///
    /// # Errors
    /// [`Error::Pack`] when it is not an archive of a pack, and when the disk fails; then no copy appears.
    pub fn insert(&self, archive: &Archive) -> Result<Place, Error> {
        let digest = archive.digest();
        let (partial, target) = (files::beside(&self.root.join(COMING).join("pack")), self.folder(digest));
        let name = PathBuf::from(format!("{digest}.mipack"));
        let unpacked = pack::unpack_unsynced(&mut BufReader::new(archive.reader()), &name, &partial);
        let placed = unpacked.map_err(Error::from).and_then(|()| self.settle(digest, (&partial, &target)));
        // What was renamed is not there any more; what was not goes.
        let _ = fs::remove_dir_all(&partial);
        placed
    }

    /// Gives what was unpacked its name, unless a whole copy has it.
    fn settle(&self, digest: &Digest, (partial, target): (&Path, &Path)) -> Result<Place, Error> {
        for _ in 0..TRIES {
            match files::rename_to_free(partial, target) {
                Err(error) if is_taken(&error) => {
                    // A torn one is removed by this look, and the name is free then.
                    if let Some(place) = self.get(digest)? {
                        return Ok(place);
                    }
                }
                renamed => {
                    renamed.map_err(Error::io(target))?;
                    self.verified.note(digest);
                    let place = self.get(digest)?;
                    self.count(digest, size(target))?;
                    return place.ok_or_else(|| Error::Absent(format!("copy of {digest}")));
                }
            }
        }
        Err(Error::Absent(format!("copy of {digest}: a torn one is in its place and is read just now")))
    }

    /// Counts a copy that came, and makes room.
    fn count(&self, came: &Digest, bytes: u64) -> Result<(), Error> {
        let mut tally = Tally::lock(&self.root)?;
        match tally.read()?.map(|total| total.saturating_add(bytes)) {
            Some(total) if total <= self.limit => {
                tally.write(total)?;
                self.metrics.store.cache_bytes.set(total as i64);
                Ok(())
            }
            _ => self.shrink(&mut tally, Some(came)),
        }
    }

    /// Removes a copy whose bytes proved wrong. One that somebody reads stays until they are done.
    pub fn discard(&self, digest: &Digest) {
        self.remove(&self.folder(digest));
    }

    /// Counts the copies. If they are beyond the bound, removes the least recently used until there is room for more, so
    /// that not every copy that comes has them counted. `keep` stays.
    fn shrink(&self, tally: &mut Tally, keep: Option<&Digest>) -> Result<(), Error> {
        let mut copies = self.copies()?;
        copies.sort_by_key(|copy| copy.used);
        let mut total: u64 = copies.iter().map(|copy| copy.bytes).sum();
        let kept = keep.map(|digest| self.folder(digest));
        let enough = if total > self.limit { self.limit - self.limit / ROOM } else { self.limit };
        for copy in copies {
            if total <= enough {
                break;
            }
            if kept.as_ref() != Some(&copy.folder) && self.remove(&copy.folder) {
                self.metrics.store.cache_evictions.inc();
                total -= copy.bytes;
            }
        }
        tally.write(total)?;
        self.metrics.store.cache_bytes.set(total as i64);
        Ok(())
    }

    fn copies(&self) -> Result<Vec<Copied>, Error> {
        let root = self.root.join(PACKS);
        let mut found = Vec::new();
        for entry in fs::read_dir(&root).map_err(Error::io(&root))? {
            let folder = entry.map_err(Error::io(&root))?.path();
            // Another process may have removed it since.
            let Ok(used) = fs::metadata(&folder).and_then(|found| found.modified()) else { continue };
            let bytes = size(&folder);
            found.push(Copied { folder, used, bytes });
        }
        Ok(found)
    }

    /// Removes a copy that nobody reads. Returns whether it is gone.
    fn remove(&self, folder: &Path) -> bool {
        let Ok(opened) = File::open(folder) else { return true };
        if flock(&opened, FlockOperation::NonBlockingLockExclusive).is_err() {
            return false;
        }
        if let Some(digest) = folder.file_name().and_then(|name| name.to_str()?.parse().ok()) {
            self.verified.forget(&digest);
        }
        let going = files::beside(&self.root.join(COMING).join("going"));
        // Renamed first: a copy is whole or not there.
        fs::rename(folder, &going).is_ok() && fs::remove_dir_all(&going).is_ok()
    }

    /// Removes what crashes left behind.
    fn sweep(&self) -> Result<(), Error> {
        let root = self.root.join(COMING);
        for entry in fs::read_dir(&root).map_err(Error::io(&root))? {
            let path = entry.map_err(Error::io(&root))?.path();
            let age = fs::symlink_metadata(&path).and_then(|found| found.modified()).ok();
            if age.and_then(|time| time.elapsed().ok()).is_some_and(|age| age > STALE) {
                // Best effort: another process may remove it too.
                let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
            }
        }
        Ok(())
    }

    fn folder(&self, digest: &Digest) -> PathBuf {
        self.root.join(PACKS).join(digest.as_str())
    }
}

/// A copy with a shared lock and the time of its use; none if it is not there or is going.
fn held(folder: &Path) -> io::Result<Option<Place>> {
    let opened = match File::open(folder) {
        Ok(opened) => opened,
        Err(error) if is_absence(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    match flock(&opened, FlockOperation::NonBlockingLockShared) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    // It may have been renamed between opening and locking.
    match fs::metadata(folder) {
        Ok(now) if now.ino() == opened.metadata()?.ino() => {}
        Err(error) if !is_absence(&error) => return Err(error),
        Ok(_) | Err(_) => return Ok(None),
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let used = Timespec { tv_sec: now.as_secs() as i64, tv_nsec: i64::from(now.subsec_nanos()) as _ };
    let times =
        Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT as _ }, last_modification: used };
    // A cache of another user can be read, though not marked as used.
    let _ = futimens(&opened, &times);
    Ok(Some(Place::held(folder.to_owned(), opened)))
}

fn size(folder: &Path) -> u64 {
    let of = |name: &str| fs::metadata(folder.join(name)).map_or(0, |found| found.len());
    of(CONFIG_FILE) + of(WEIGHTS_FILE)
}

fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty)
}
