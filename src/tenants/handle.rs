//! The tenants of a running server, and their file as it changes.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use jiff::Timestamp;

use super::accounts::Accounts;
use super::caller::Caller;
use super::credentials::{Credentials, Denied};
use super::error::Error;
use super::file::TenantsFile;
use super::registry::Registry;
use crate::audit::{Audit, Event, Who};
use crate::catalog::{Allowance, Allowances};
use crate::files::{self, Disk as _, FileState, System};
use crate::metrics::Metrics;
use crate::pack::TaskId;

/// Largest file that is read, bytes: 100,000 tenants take about 50 MB.
const MOST_BYTES: u64 = 256 << 20;
/// A file younger than this may still be written.
const QUIET: Duration = Duration::from_millis(50);
/// Longest wait for a file that is written again and again.
const LONGEST_QUIET: Duration = Duration::from_millis(300);
/// Most keys of one change that are noted one by one.
const MOST_NOTED: usize = 10_000;
/// How often the file is looked at: a revoked key must stop within a second.
pub const LOOK: Duration = Duration::from_millis(100);

/// The tenants of a server. Share it by `Arc`.
pub struct Tenants {
    /// None on a server that is open to everybody.
    file: Option<File>,
    registry: ArcSwap<Registry>,
    /// Apart from the file's lock: whoever asks for it does not wait for a file system.
    status: ArcSwap<Status>,
}

struct File {
    path: PathBuf,
    state: Mutex<State>,
    metrics: Arc<Metrics>,
    audit: Option<Audit>,
}

struct State {
    accounts: Accounts,
    /// How the file looked when it was last read.
    seen: Option<FileState>,
    /// Since when it looks otherwise.
    other_since: Option<Instant>,
    /// The number of the registry that is in force.
    version: u64,
}

/// What is known of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Tenants.
    pub tenants: usize,
    /// Keys.
    pub keys: usize,
    /// Whether requests without a key are let in.
    pub is_anonymous: bool,
    /// Why the file as it stands now is not in force; the one before is.
    pub error: Option<String>,
}

/// What one look at the file came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked {
    /// It is as it was.
    Same,
    /// It was read and is in force.
    Read,
    /// It is not in force; the one before is.
    Refused,
}

impl Tenants {
    /// Everybody may do everything.
    pub fn open() -> Self {
        Self { file: None, registry: ArcSwap::default(), status: ArcSwap::default() }
    }

    /// Reads a file of tenants.
    ///
    /// # Errors
    /// When it cannot be read, or is wrong.
    pub fn read(path: &Path, metrics: Arc<Metrics>) -> Result<Self, Error> {
        let now = Instant::now();
        let (seen, text) = (look(path)?, text(path)?);
        let mut accounts = Accounts::default();
        let registry = Registry::new(&TenantsFile::parse(&text)?, &mut accounts, now)?;
        accounts.accept(now);
        let status = Status::of(&registry);
        metrics.tenants.tenants.set(status.tenants as i64);
        let state = Mutex::new(State { accounts, seen: Some(seen), other_since: None, version: 0 });
        let file = Some(File { path: path.to_owned(), state, metrics, audit: None });
        Ok(Self { file, registry: ArcSwap::from_pointee(registry), status: ArcSwap::from_pointee(status) })
    }

    /// The same tenants; what changes of their file did is noted.
    #[must_use]
    pub fn with_audit(self, audit: Audit) -> Self {
        let file = self.file.map(|file| File { audit: Some(audit), ..file });
        Self { file, ..self }
    }

    /// Whether everybody may do everything.
    pub fn is_open(&self) -> bool {
        self.file.is_none()
    }

    /// Who shows these credentials, and under which version of the file.
    ///
    /// # Errors
    /// Why that is not known.
    pub fn authenticate(&self, shown: &Credentials<'_>, now: Timestamp) -> Result<Known, Denied> {
        if self.is_open() {
            return Ok(Known { caller: Caller::everybody(), registry: None, ends: None });
        }
        let registry = self.registry.load();
        let (caller, ends) = registry.authenticate(shown, now)?;
        Ok(Known { caller, registry: Some(registry.version), ends })
    }

    /// Whether a caller that was known when its request came is known still. Costs nothing while the file is the same.
    ///
    /// # Errors
    /// Why it is not.
    pub fn again(&self, known: &Known, shown: &Credentials<'_>, now: Timestamp) -> Result<(), Denied> {
        let Some(before) = known.registry else { return Ok(()) };
        if known.ends.is_some_and(|end| end <= now) {
            return Err(Denied::Expired);
        }
        let registry = self.registry.load();
        if registry.version == before {
            return Ok(());
        }
        registry.again(&known.caller, shown, now)
    }

    /// What is known of the file; none on an open server.
    pub fn status(&self) -> Option<Status> {
        self.file.as_ref().map(|_| Status::clone(&self.status.load()))
    }

    /// Reads the file again if it has changed. A file that is wrong changes nothing and is told once.
    pub fn look(&self) -> Looked {
        let Some(file) = &self.file else { return Looked::Same };
        let seen = look(&file.path);
        let mut state = file.lock();
        if let Ok(seen) = &seen
            && state.seen == Some(*seen)
        {
            state.other_since = None;
            return Looked::Same;
        }
        let since = *state.other_since.get_or_insert_with(Instant::now);
        if seen.as_ref().is_ok_and(is_young) && since.elapsed() < LONGEST_QUIET {
            return Looked::Same;
        }
        state.other_since = None;
        let told = self.status.load().error.clone();
        let was_missing = state.seen.is_none() && told.is_some();
        state.seen = seen.as_ref().ok().copied();
        match seen.and_then(|_| self.reread(file, &mut state)) {
            Ok(()) => Looked::Read,
            // A file that stays away is told once.
            Err(error) if was_missing && Some(error.to_string()) == told => Looked::Same,
            Err(error) => {
                state.accounts.refuse();
                file.metrics.tenants.tenants_reloads.with_label_values(&["refused"]).inc();
                tracing::error!(%error, path = %file.path.display(), "the file of tenants is wrong: the one before stays in force");
                file.note(&Event::TenantsRefused { reason: error.to_string() });
                let error = Some(error.to_string());
                self.status.store(Arc::new(Status { error, ..Status::clone(&self.status.load()) }));
                Looked::Refused
            }
        }
    }

    /// Looks at the file every [`LOOK`], until the future is dropped.
    pub async fn watch(self: Arc<Self>) {
        if self.is_open() {
            return;
        }
        let mut ticks = tokio::time::interval(LOOK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let tenants = Arc::clone(&self);
            // A file system that hangs keeps no thread that serves.
            if tokio::task::spawn_blocking(move || tenants.look()).await.is_err() {
                tracing::error!("the file of tenants could not be looked at");
            }
        }
    }

    fn reread(&self, file: &File, state: &mut State) -> Result<(), Error> {
        let now = Instant::now();
        let read = TenantsFile::parse(&text(&file.path)?)?;
        let mut registry = Registry::new(&read, &mut state.accounts, now)?;
        state.accounts.accept(now);
        state.version += 1;
        registry.version = state.version;
        let status = Status::of(&registry);
        let Status { tenants, keys, .. } = status;
        self.status.store(Arc::new(status));
        let registry = Arc::new(registry);
        let before = self.registry.swap(Arc::clone(&registry));
        file.note_keys(&before, &registry);
        file.note(&Event::TenantsReloaded { tenants: tenants as u64 });
        file.metrics.tenants.tenants.set(tenants as i64);
        file.metrics.tenants.tenants_reloads.with_label_values(&["read"]).inc();
        tracing::info!(
            tenants,
            keys,
            milliseconds = now.elapsed().as_millis() as u64,
            "the file of tenants was read again"
        );
        Ok(())
    }
}

impl Allowances for Tenants {
    fn of(&self, task: &TaskId) -> Option<Allowance> {
        let registry = self.registry.load();
        let tenant = registry.owners.of(task)?;
        let account = tenant.account();
        let (tasks, bytes) = (account.most_tasks(), account.most_pack_bytes());
        Some(Allowance { owner: tenant.name.shared(), tasks, bytes })
    }
}

/// A caller, and the version of the file that knew it.
#[derive(Clone, Debug)]
pub struct Known {
    /// Who it is.
    pub caller: Caller,
    registry: Option<u64>,
    ends: Option<Timestamp>,
}

impl File {
    fn note(&self, event: &Event) {
        if let Some(audit) = &self.audit {
            audit.record(&Who::default(), event);
        }
    }

    /// Notes which keys are new, which are others than before, and which are gone.
    fn note_keys(&self, before: &Registry, after: &Registry) {
        let missing = |from: &Registry, of: &Registry| {
            let ids = of.keys.keys().filter(|id| !from.keys.contains_key(*id));
            ids.take(MOST_NOTED).map(ToString::to_string).collect::<Vec<_>>()
        };
        missing(after, before).into_iter().for_each(|id| self.note(&Event::KeyRevoked { id }));
        missing(before, after).into_iter().for_each(|id| self.note(&Event::KeyAdded { id }));
        let changes = after.keys.values().filter_map(|key| {
            let what = before.keys.get(&key.id)?.differences(key);
            (!what.is_empty()).then(|| Event::KeyChanged { id: key.id.to_string(), what })
        });
        changes.take(MOST_NOTED).for_each(|change| self.note(&change));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a file was written so lately that somebody may be writing it still.
fn is_young(seen: &FileState) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |passed| passed.as_nanos());
    let (seconds, nanoseconds) = seen.modified;
    let modified = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
    let age = i128::try_from(now).unwrap_or(i128::MAX) - modified;
    (0..QUIET.as_nanos() as i128).contains(&age)
}

impl Status {
    fn of(registry: &Registry) -> Self {
        Self {
            tenants: registry.tenants.len(),
            keys: registry.keys.len(),
            is_anonymous: registry.anonymous.is_some(),
            error: None,
        }
    }
}

fn look(path: &Path) -> Result<FileState, Error> {
    System.state(path).map_err(|reason| Error::File { path: path.to_owned(), reason })
}

pub(super) fn text(path: &Path) -> Result<String, Error> {
    let failed = |reason| Error::File { path: path.to_owned(), reason };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(Error::TooLarge { path: path.to_owned(), limit: MOST_BYTES });
    }
    let text = String::from_utf8(files::without_mark(&bytes).to_vec());
    text.map_err(|e| failed(std::io::Error::new(std::io::ErrorKind::InvalidData, e.utf8_error())))
}
