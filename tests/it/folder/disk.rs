//! A file system that fails when it is told to.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use mimi_server::files::{Disk, Entry, FileState, System};
use mimi_server::reload::MARKER_FILE;

/// errno(3), as Linux numbers them on x86-64 and aarch64.
pub const EIO: i32 = 5;
pub const EACCES: i32 = 13;
pub const EMFILE: i32 = 24;
pub const ESTALE: i32 = 116;

/// What fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    List,
    State,
    Read,
}

/// The machine's file systems, but for what was told to fail.
#[derive(Debug, Default)]
pub struct Faulty {
    faults: Mutex<Vec<(PathBuf, Vec<Op>, i32)>>,
    /// What further looks wait at, and how many there were.
    stalled: Mutex<Option<(PathBuf, usize)>>,
    is_coarse: AtomicBool,
    lists: AtomicUsize,
    states: AtomicUsize,
    reads: AtomicUsize,
}

impl Faulty {
    /// From now on `ops` fail with `errno` on everything under `path`.
    pub fn fail(&self, path: &Path, ops: &[Op], errno: i32) {
        self.faults.lock().unwrap().push((path.to_owned(), ops.to_vec(), errno));
    }

    /// The first look at `path` passes, further ones wait until this heals.
    pub fn stall(&self, path: &Path) {
        *self.stalled.lock().unwrap() = Some((path.to_owned(), 0));
    }

    /// Whether a look waits.
    pub fn is_stalled(&self) -> bool {
        self.stalled.lock().unwrap().as_ref().is_some_and(|(_, looks)| *looks > 1)
    }

    fn wait_if_stalled(&self, path: &Path) {
        let is_here = |stalled: &Option<(PathBuf, usize)>| stalled.as_ref().is_some_and(|(at, _)| at == path);
        if let Some((_, looks)) = self.stalled.lock().unwrap().as_mut().filter(|(at, _)| at == path) {
            *looks += 1;
        }
        while is_here(&self.stalled.lock().unwrap()) && self.is_stalled() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    /// Nothing fails or waits any more.
    pub fn heal(&self) {
        self.faults.lock().unwrap().clear();
        *self.stalled.lock().unwrap() = None;
    }

    /// Times count in steps of ten minutes.
    pub fn make_times_coarse(&self) {
        self.is_coarse.store(true, Ordering::Relaxed);
    }

    /// Looks at anything.
    pub fn looks(&self) -> usize {
        self.states.load(Ordering::Relaxed)
    }

    /// Folders listed.
    pub fn lists(&self) -> usize {
        self.lists.load(Ordering::Relaxed)
    }

    /// Files of packs read.
    pub fn reads(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }

    fn check(&self, path: &Path, op: Op) -> io::Result<()> {
        let faults = self.faults.lock().unwrap();
        let fault = faults.iter().find(|(under, ops, _)| path.starts_with(under) && ops.contains(&op));
        fault.map_or(Ok(()), |(_, _, errno)| Err(io::Error::from_raw_os_error(*errno)))
    }
}

impl Disk for Faulty {
    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        self.lists.fetch_add(1, Ordering::Relaxed);
        self.check(folder, Op::List)?;
        System.list(folder)
    }

    fn state(&self, path: &Path) -> io::Result<FileState> {
        self.states.fetch_add(1, Ordering::Relaxed);
        self.wait_if_stalled(path);
        self.check(path, Op::State)?;
        let state = System.state(path)?;
        if self.is_coarse.load(Ordering::Relaxed) {
            let modified = (state.modified.0 / 600 * 600, 0);
            return Ok(FileState { modified, changed: (0, 0), ..state });
        }
        Ok(state)
    }

    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        if !path.ends_with(MARKER_FILE) {
            self.reads.fetch_add(1, Ordering::Relaxed);
        }
        self.check(path, Op::Read)?;
        System.read(path, limit)
    }

    fn create(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        System.create(path, bytes)
    }
}
