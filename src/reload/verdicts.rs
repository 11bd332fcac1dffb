//! Packs that have passed their self-test, kept from one start to the next.
//!
//! A pass belongs to the bytes of the pack and to everything that computes its answers: backbone, precision, device, the
//! build of this server, the library and the kind of CPU. Failures are not kept: they may pass.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use crate::backbone::sha256_hex;
use crate::files;

/// Name of the file that holds them.
pub const VERDICTS_FILE: &str = "self-tests-passed.txt";
/// Most passes that are kept; when there are more, a start drops the older ones down to half.
const MAX_KEPT: usize = 100_000;
/// Length of a line's digest.
const DIGEST_CHARS: usize = 64;

/// Which packs have passed.
#[derive(Debug)]
pub(super) struct Verdicts {
    /// What computes the answers, in words.
    arithmetic: String,
    /// Digests of packs, passed in this process or found to have passed before.
    passed: RwLock<HashSet<String>>,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    file: Option<PathBuf>,
    keys: HashSet<String>,
}

impl Verdicts {
    /// Reads what an earlier process kept in `folder`. A failure to read or write there is logged, and costs a self-test.
    pub(super) fn open(folder: Option<&Path>, arithmetic: String) -> Self {
        let kept = folder.map(|folder| Kept::open(folder).unwrap_or_else(|error| {
            tracing::warn!(folder = %folder.display(), %error, "passed self-tests are not kept: a restart repeats them");
            Kept::default()
        }));
        Self { arithmetic, passed: RwLock::default(), kept: Mutex::new(kept.unwrap_or_default()) }
    }

    /// Whether a pack has passed, in this process or before.
    pub(super) fn contains(&self, digest: &str) -> bool {
        if self.passed.read().unwrap_or_else(PoisonError::into_inner).contains(digest) {
            return true;
        }
        let is_kept = self.lock_kept().keys.contains(&self.key(digest));
        if is_kept {
            self.write_passed(digest);
        }
        is_kept
    }

    /// Records a pass, on disk where possible. Waits for the disk.
    pub(super) fn insert(&self, digest: &str) {
        self.write_passed(digest);
        let key = self.key(digest);
        // Written without the lock, which requests take to look.
        let file = self.lock_kept().insert(&key);
        if let Some(Err(error)) = file.map(|file| append(&file, &key)) {
            tracing::warn!(%error, "a passed self-test is not kept: a restart repeats it");
        }
    }

    fn write_passed(&self, digest: &str) {
        let mut passed = self.passed.write().unwrap_or_else(PoisonError::into_inner);
        if passed.len() >= MAX_KEPT {
            passed.clear();
        }
        passed.insert(digest.to_owned());
    }

    fn key(&self, digest: &str) -> String {
        sha256_hex(format!("{digest} {}", self.arithmetic).as_bytes())
    }

    fn lock_kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let file = folder.join(VERDICTS_FILE);
        let text = match fs::read(&file) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        // A line that a full disk cut short is none.
        let is_digest =
            |line: &&str| line.len() == DIGEST_CHARS && line.bytes().all(|c| c.is_ascii_hexdigit());
        let lines: Vec<&str> = text.lines().filter(is_digest).collect();
        let newest = if lines.len() < MAX_KEPT { &lines[..] } else { &lines[lines.len() - MAX_KEPT / 2..] };
        if newest.len() < lines.len() {
            files::write_atomically(&file, (newest.join("\n") + "\n").as_bytes())?;
        }
        Ok(Self { file: Some(file), keys: newest.iter().map(|line| (*line).to_owned()).collect() })
    }

    /// Takes in a key; gives the file that it must be written to, if it is new.
    fn insert(&mut self, key: &str) -> Option<PathBuf> {
        let file = self.file.clone()?;
        (self.keys.len() < MAX_KEPT && self.keys.insert(key.to_owned())).then_some(file)
    }
}

/// Adds a line by one short write at the end: several servers may share the file. It begins a line in case the one before
/// was cut.
fn append(file: &Path, key: &str) -> io::Result<()> {
    let line = format!("\n{key}\n");
    File::options().append(true).create(true).open(file)?.write_all(line.as_bytes())
}

/// What this machine and build compute with, in words that change whenever answers may change.
pub fn arithmetic(library: &Path, more: &str) -> String {
    let stamp = |path: io::Result<PathBuf>| {
        let found = path.and_then(fs::metadata);
        let time = |m: &fs::Metadata| m.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok();
        found.map(|m| format!("{}@{}", m.len(), time(&m).unwrap_or_default().as_nanos())).unwrap_or_default()
    };
    let (own, library) = (stamp(std::env::current_exe()), stamp(Ok(library.to_owned())));
    format!("{} {own} {library} {} {more}", env!("CARGO_PKG_VERSION"), cpu())
}

/// The instruction sets by which kernels are chosen.
fn cpu() -> String {
    #[cfg(target_arch = "x86_64")]
    {
        let has = [
            ("avx2", std::arch::is_x86_feature_detected!("avx2")),
            ("fma", std::arch::is_x86_feature_detected!("fma")),
            ("avxvnni", std::arch::is_x86_feature_detected!("avxvnni")),
            ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
            ("avx512vnni", std::arch::is_x86_feature_detected!("avx512vnni")),
            ("avx512bf16", std::arch::is_x86_feature_detected!("avx512bf16")),
        ];
        has.iter().filter(|(_, has)| *has).map(|(name, _)| *name).collect::<Vec<_>>().join("+")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        std::env::consts::ARCH.to_owned()
    }
}
