//! Which version of which task is live, and which packs are in memory.
//!
//! Listing is cheap and reading is lazy: at the start only folder names are read, so thousands of tasks cost
//! nothing until they are called. A cold pack is read at its first request; concurrent first requests share
//! one reading. Packs are kept by bytes under a budget; a request that holds an `Arc<Pack>` keeps its pack
//! whatever happens here.
//!
//! | from | event | to |
//! |---|---|---|
//! | unknown | folder with a version appears | published (cold) |
//! | published | newer version passes reading, checking, warming | published (newer) |
//! | published | newer version fails | published (as before), failure shown |
//! | published at the start, unread | called, and fails its self-test | published (the next older), failure shown |
//! | published | live version's folder goes, another remains | published (the highest that passes) |
//! | published | no version remains, in a listing that is trusted | unknown |
//! | published | its folder cannot be listed, its files cannot be read | published (as before), shown |

mod marks;
mod status;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use moka::future::Cache;

pub use status::{Failure, FailureKind, Resolved, Served, TaskStatus};

use crate::backbone::BackboneConfig;
use crate::files::Disk;
use crate::metrics::Metrics;
use crate::pack::{self, Pack, TaskId, VersionState};
use status::Entry;

/// Why a task has no pack to serve.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// No such task is published.
    #[error("task {0} is not published")]
    UnknownTask(String),
    /// The task has versions, but none of them could be published.
    #[error("task {task} has no version that works: {reason}")]
    NoWorkingVersion {
        /// The task.
        task: TaskId,
        /// What is wrong with the newest.
        reason: String,
        /// Whether it may pass by itself: a version that is still being copied, a folder that cannot be looked at.
        is_passing: bool,
    },
    /// The task's pack is out of reach for now: the system cannot read it, or its folder is not where it was.
    #[error("task {task} version {version}: {reason}")]
    OutOfReach {
        /// The task.
        task: TaskId,
        /// The version.
        version: u64,
        /// What the system says.
        reason: Arc<pack::Error>,
    },
    /// The task's pack is wrong.
    #[error("task {task} version {version}: {reason}")]
    Pack {
        /// The task.
        task: TaskId,
        /// The version.
        version: u64,
        /// What is wrong with it.
        reason: Arc<pack::Error>,
    },
    /// The folder of packs cannot be listed.
    #[error("{path}: {reason}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        reason: String,
    },
}

/// What is told when a version that was read before is read again and is another.
const REWRITTEN: &str = "its files are others than those published; they are served since it was read again";

/// Versions in a task's folder, ascending. Anything that is no version is passed over.
///
/// # Errors
/// When the folder cannot be listed.
pub fn list_versions(disk: &dyn Disk, folder: &Path) -> std::io::Result<Vec<u64>> {
    let entries = disk.list(folder)?.into_iter().filter(|entry| entry.may_be_folder);
    let mut found: Vec<u64> = entries.filter_map(|entry| pack::parse_version(&entry.name)).collect();
    found.sort_unstable();
    Ok(found)
}

/// The tasks and the resident packs.
pub struct Catalog {
    root: PathBuf,
    disk: Arc<dyn Disk>,
    backbone: Arc<BackboneConfig>,
    tasks: RwLock<BTreeMap<TaskId, Entry>>,
    /// Tasks to be looked at again, though nothing may have changed in the folder.
    doubtful: Mutex<BTreeSet<TaskId>>,
    packs: Cache<(TaskId, u64), Arc<Pack>>,
    metrics: Arc<Metrics>,
}

impl Catalog {
    /// Makes an empty catalog over the folder `root`, seen through `disk`, keeping at most `budget` bytes of packs in
    /// memory.
    pub fn new(
        (root, disk): (PathBuf, Arc<dyn Disk>),
        backbone: Arc<BackboneConfig>,
        budget: u64,
        metrics: Arc<Metrics>,
    ) -> Self {
        metrics.packs_budget_bytes.set(budget as i64);
        let counted = Arc::clone(&metrics);
        let packs = Cache::builder()
            .max_capacity(budget)
            .weigher(|_, pack: &Arc<Pack>| u32::try_from(pack.bytes()).unwrap_or(u32::MAX))
            .eviction_listener(move |_, pack, cause| {
                counted.packs_resident.dec();
                counted.packs_resident_bytes.sub(pack.bytes() as i64);
                if cause == moka::notification::RemovalCause::Size {
                    counted.pack_evictions.inc();
                }
            })
            .build();
        let (tasks, doubtful) = Default::default();
        Self { root, disk, backbone, tasks, doubtful, packs, metrics }
    }

    /// What the folder of packs is seen through.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// The folder of packs.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The backbone packs must belong to.
    pub fn backbone(&self) -> &Arc<BackboneConfig> {
        &self.backbone
    }

    /// The live version of a task with its pack, read from disk if it is not in memory.
    ///
    /// # Errors
    /// [`Error::UnknownTask`]; [`Error::OutOfReach`] and [`Error::Pack`] when the pack is cold and cannot be read, or is
    /// wrong; [`Error::NoWorkingVersion`].
    pub async fn resolve(&self, task: &TaskId) -> Result<Resolved, Error> {
        loop {
            let live = self.live_or_why(task)?;
            let entry = self.packs.entry((task.clone(), live)).or_try_insert_with(self.load(task, live));
            let reason = match entry.await {
                Ok(entry) => {
                    let is_fresh = entry.is_fresh();
                    if is_fresh {
                        self.recovered(task, live);
                    }
                    return Ok(Resolved { version: live, pack: entry.into_value(), is_fresh });
                }
                Err(reason) => reason,
            };
            // A newer version may have gone live, and this one's folder gone, while we were reading.
            if self.live(task) != Some(live) {
                continue;
            }
            if self.is_out_of_reach(task, live, &reason).await {
                if self.keep(task, &format!("version {live} cannot be read: {reason}")) {
                    tracing::error!(%task, version = live, %reason, "cannot be read; it stays live");
                    self.metrics.folder_errors.with_label_values(&["version"]).inc();
                }
                return Err(Error::OutOfReach { task: task.clone(), version: live, reason });
            }
            if !self.step_back(task, live, FailureKind::of(&reason), &reason.to_string()).await {
                return Err(Error::Pack { task: task.clone(), version: live, reason });
            }
        }
    }

    /// Whether reading failed without telling anything of the version: an error of the system, or its whole folder is
    /// not where it was. What that means is for those to say who look at all of the folder.
    async fn is_out_of_reach(&self, task: &TaskId, version: u64, reason: &pack::Error) -> bool {
        if reason.is_of_reading() {
            return true;
        }
        if !matches!(reason, pack::Error::Io { .. }) {
            return false;
        }
        let (disk, folder) = (Arc::clone(&self.disk), self.folder(task, version));
        let state = tokio::task::spawn_blocking(move || VersionState::of(&*disk, &folder)).await;
        !matches!(state, Ok(Ok(state)) if state.has_folder())
    }

    /// What was wrong with the live version is so no more: it has been read.
    fn recovered(&self, task: &TaskId, live: u64) {
        let mut tasks = self.write();
        if let Some(entry) = tasks.get_mut(task).filter(|entry| entry.live == Some(live)) {
            entry.failure = entry.failure.take().filter(|failure| failure.version != live);
            entry.kept = None;
        }
    }

    /// Withdraws a live version whose stored answers it does not give: the next older one becomes live, or none.
    pub async fn withdraw(&self, task: &TaskId, broken: u64, reason: &str) {
        if self.live(task) == Some(broken) && !self.step_back(task, broken, FailureKind::Broken, reason).await
        {
            if let Some(entry) = self.write().get_mut(task).filter(|entry| entry.live == Some(broken)) {
                entry.live = None;
            }
            self.metrics.tasks.set(self.published() as i64);
        }
        self.packs.invalidate(&(task.clone(), broken)).await;
    }

    /// Records that the live version of a task does not work and makes the next older one live, so that
    /// a broken newest version never stands before a working older one, not even after a restart.
    async fn step_back(&self, task: &TaskId, broken: u64, kind: FailureKind, reason: &str) -> bool {
        let failure = Failure { version: broken, kind, reason: reason.to_owned() };
        let known = self.read().get(task).and_then(|entry| entry.failure.clone());
        // The only version of a task is read again at each request; it is told once.
        if known.as_ref() != Some(&failure) {
            tracing::error!(%task, version = broken, %reason, "the live version does not work");
            self.metrics.pack_reloads.with_label_values(&["failed"]).inc();
        }
        self.fail(task, failure);
        let (disk, folder) = (Arc::clone(&self.disk), self.root.join(task.as_str()));
        let versions = tokio::task::spawn_blocking(move || list_versions(&*disk, &folder)).await;
        let Ok(Ok(versions)) = versions else { return false };
        let Some(&older) = versions.iter().rev().find(|&&version| version < broken) else { return false };
        if let Some(entry) = self.write().get_mut(task).filter(|entry| entry.live == Some(broken)) {
            *entry = Entry { failure: entry.failure.take(), ..Entry::of(older) };
        }
        true
    }

    /// The live version of a task.
    pub fn live(&self, task: &TaskId) -> Option<u64> {
        self.read().get(task).and_then(|entry| entry.live)
    }

    fn live_or_why(&self, task: &TaskId) -> Result<u64, Error> {
        let tasks = self.read();
        let entry = tasks.get(task).ok_or_else(|| Error::UnknownTask(task.to_string()))?;
        entry.live_or_why(task)
    }

    /// The task's own name where it is known: what a metric may be labelled with.
    pub fn contains(&self, task: &TaskId) -> bool {
        self.read().contains_key(task)
    }

    /// What is known of one task.
    pub fn status(&self, task: &TaskId) -> Option<TaskStatus> {
        let entry = self.read().get(task).cloned()?;
        Some(self.describe(task, &entry))
    }

    /// Up to `limit` tasks after `after`, by name.
    pub fn page(&self, after: Option<&TaskId>, limit: usize) -> Vec<TaskStatus> {
        let from = after.map_or(Bound::Unbounded, |task| Bound::Excluded(task.clone()));
        let tasks = self.read();
        let page = tasks.range((from, Bound::Unbounded)).take(limit);
        page.map(|(task, entry)| self.describe(task, entry)).collect()
    }

    /// Number of published tasks.
    pub fn published(&self) -> usize {
        self.read().values().filter(|entry| entry.live.is_some()).count()
    }

    /// Known tasks with their live versions.
    pub fn snapshot(&self) -> Vec<(TaskId, Option<u64>)> {
        self.read().iter().map(|(task, entry)| (task.clone(), entry.live)).collect()
    }

    /// Makes versions live without reading them; for what is found at the start.
    pub fn list(&self, found: impl IntoIterator<Item = (TaskId, u64)>) {
        self.write().extend(found.into_iter().map(|(task, version)| (task, Entry::of(version))));
        self.metrics.tasks.set(self.published() as i64);
    }

    /// Makes a read, checked and warmed version live, whose files looked as `state` tells. From here on, new requests
    /// get it.
    pub async fn publish(&self, task: &TaskId, version: u64, (pack, state): (Arc<Pack>, VersionState)) {
        self.count_load(&pack);
        let served = Some(Served { version, digest: pack.digest.clone(), state });
        self.packs.insert((task.clone(), version), pack).await;
        let before = {
            let mut tasks = self.write();
            // A newer version that failed is still shown.
            let failure = tasks.get(task).and_then(|entry| entry.failure.clone());
            let failure = failure.filter(|failure| failure.version > version);
            tasks.insert(task.clone(), Entry { served, failure, ..Entry::of(version) })
        };
        self.metrics.tasks.set(self.published() as i64);
        // The old version's pack goes from memory as soon as its last request is answered.
        if let Some(old) = before.and_then(|entry| entry.live).filter(|&old| old != version) {
            self.packs.invalidate(&(task.clone(), old)).await;
        }
    }

    /// Records that a version could not be published; what is live stays live.
    pub fn fail(&self, task: &TaskId, failure: Failure) {
        self.write().entry(task.clone()).or_default().failure = Some(failure);
        self.lock_doubtful().insert(task.clone());
    }

    /// Unpublishes a task; requests that hold its pack finish.
    pub async fn remove(&self, task: &TaskId, codes: &[&str]) {
        let removed = self.write().remove(task);
        if let Some(live) = removed.and_then(|entry| entry.live) {
            self.packs.invalidate(&(task.clone(), live)).await;
        }
        self.metrics.tasks.set(self.published() as i64);
        self.metrics.forget_task(task.as_str(), codes);
    }

    /// Completes pending evictions, so that the gauges tell the truth at a scrape.
    pub async fn settle(&self) {
        self.packs.run_pending_tasks().await;
    }

    /// Folder of one version.
    pub fn folder(&self, task: &TaskId, version: u64) -> PathBuf {
        self.root.join(task.as_str()).join(version.to_string())
    }

    async fn load(&self, task: &TaskId, version: u64) -> Result<Arc<Pack>, pack::Error> {
        let (folder, backbone) = (self.folder(task, version), Arc::clone(&self.backbone));
        let disk = Arc::clone(&self.disk);
        let read = tokio::task::spawn_blocking(move || {
            let state = VersionState::of(&*disk, &folder).map_err(pack::Error::io(&folder))?;
            Ok((pack::read_with(&*disk, &folder, &backbone)?.0, state))
        });
        let interrupted = |e: tokio::task::JoinError| pack::Error::Io {
            path: self.folder(task, version),
            source: std::io::Error::other(e.to_string()),
        };
        let (pack, state) = read.await.map_err(interrupted)??;
        let pack = Arc::new(pack);
        self.count_load(&pack);
        let digest = pack.digest.clone();
        let before = self.served_state(task).filter(|served| served.version == version);
        let other = before.is_some_and(|served| served.digest != digest).then(|| REWRITTEN.to_owned());
        self.looked_at(task, Served { version, digest, state }, other);
        Ok(pack)
    }

    fn count_load(&self, pack: &Pack) {
        self.metrics.pack_loads.inc();
        self.metrics.packs_resident.inc();
        self.metrics.packs_resident_bytes.add(pack.bytes() as i64);
    }

    fn describe(&self, task: &TaskId, entry: &Entry) -> TaskStatus {
        let resident = entry.live.is_some_and(|live| self.packs.contains_key(&(task.clone(), live)));
        let Entry { live, failure, kept, rewritten, .. } = entry.clone();
        TaskStatus { task: task.clone(), live, resident, failure, kept, rewritten }
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<TaskId, Entry>> {
        self.tasks.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<TaskId, Entry>> {
        self.tasks.write().unwrap_or_else(PoisonError::into_inner)
    }
}
