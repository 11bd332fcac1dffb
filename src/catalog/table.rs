//! The tasks, and the packs in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use moka::future::Cache;

use super::allowance::{Allowance, Allowances, Holdings, OVER_LIMIT, OverLimit, Owned, Unlimited};
use super::error::Error;
use super::status::{Entry, Failure, FailureKind, TaskStatus};
use super::unloaded::Unloaded;
use crate::files::Disk;
use crate::metrics::Metrics;
use crate::pack::{Base, Pack, TaskId};
use crate::shelf::Objects;

/// The tasks and the resident packs.
pub struct Catalog {
    pub(super) root: PathBuf,
    /// Where packs come from, if not from the folder.
    pub(super) store: Option<Arc<Objects>>,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) base: Base,
    pub(super) tasks: RwLock<BTreeMap<TaskId, Entry>>,
    /// Tasks to look at again, though nothing may have changed in the folder.
    pub(super) doubtful: Mutex<BTreeSet<TaskId>>,
    pub(super) packs: Cache<(TaskId, u64), Arc<Pack>>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) allowances: Arc<dyn Allowances>,
    pub(super) holdings: Arc<Holdings>,
    pub(super) owned: Owned,
    /// Tasks that answer nothing until they are loaded again.
    pub(super) unloaded: RwLock<Unloaded>,
}

impl Catalog {
    /// Makes an empty catalog over the folder `root`, read through `disk`. It keeps at most `budget` bytes of packs in
    /// memory.
    pub fn new(root: PathBuf, disk: Arc<dyn Disk>, base: Base, budget: u64, metrics: Arc<Metrics>) -> Self {
        metrics.packs.packs_budget_bytes.set(budget as i64);
        let counted = Arc::clone(&metrics);
        let holdings = Arc::new(Holdings::default());
        let holding = Arc::clone(&holdings);
        let packs = Cache::builder()
            .max_capacity(budget)
            .weigher(|_, pack: &Arc<Pack>| u32::try_from(pack.bytes()).unwrap_or(u32::MAX))
            .eviction_listener(move |held, pack, cause| {
                if cause != moka::notification::RemovalCause::Replaced {
                    holding.went(&held);
                }
                counted.packs.packs_resident.dec();
                counted.packs.packs_resident_bytes.sub(pack.bytes() as i64);
                if cause == moka::notification::RemovalCause::Size {
                    counted.packs.pack_evictions.inc();
                }
            })
            .build();
        Self {
            root,
            store: None,
            disk,
            base,
            tasks: RwLock::default(),
            doubtful: Mutex::default(),
            packs,
            metrics,
            allowances: Arc::new(Unlimited),
            holdings,
            owned: Owned::default(),
            unloaded: RwLock::default(),
        }
    }

    /// The catalog in which owners of tasks may take no more than these allowances.
    #[must_use]
    pub fn with_allowances(self, allowances: Arc<dyn Allowances>) -> Self {
        Self { allowances, ..self }
    }

    /// The disk that the folder of packs is read through.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// The folder of packs.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The backbone packs must belong to.
    pub fn base(&self) -> &Base {
        &self.base
    }

    /// The live version of a task.
    pub fn live(&self, task: &TaskId) -> Option<u64> {
        self.read().get(task).and_then(|entry| entry.live)
    }

    pub(super) fn live_or_why(&self, task: &TaskId) -> Result<u64, Error> {
        let tasks = self.read();
        let entry = tasks.get(task).ok_or_else(|| Error::UnknownTask(task.to_string()))?;
        if self.is_unloaded(task) {
            return Err(Error::Unloaded(task.clone()));
        }
        entry.live_or_why(task)
    }

    /// Whether the task is known: only then may a metric be labelled with it.
    pub fn contains(&self, task: &TaskId) -> bool {
        self.read().contains_key(task)
    }

    /// Status of one task.
    pub fn status(&self, task: &TaskId) -> Option<TaskStatus> {
        let entry = self.read().get(task).cloned()?;
        Some(self.describe(task, &entry))
    }

    /// Up to `limit` tasks after `after` that `shows` lets through, by name. Others than those whose names begin so are
    /// not looked at; the beginnings are sorted, and none begins with another.
    pub fn page(
        &self,
        after: Option<&TaskId>,
        limit: usize,
        beginnings: &[&str],
        shows: impl Fn(&TaskId) -> bool,
    ) -> Vec<TaskStatus> {
        let after = after.map_or("", TaskId::as_str);
        let tasks = self.read();
        let of = |begin: &&str| {
            let from = if after < *begin { Bound::Included(*begin) } else { Bound::Excluded(after) };
            let names = tasks.range::<str, _>((from, Bound::Unbounded));
            let begin = begin.to_string();
            names.take_while(move |(task, _)| task.as_str().starts_with(&begin))
        };
        let page = beginnings.iter().flat_map(of).filter(|(task, _)| shows(task)).take(limit);
        page.map(|(task, entry)| self.describe(task, entry)).collect()
    }

    /// Number of published tasks.
    pub fn published(&self) -> usize {
        self.read().values().filter(|entry| entry.live.is_some()).count()
    }

    /// Up to `most` tasks whose live packs are in memory.
    pub fn in_memory(&self, most: usize) -> BTreeSet<TaskId> {
        let live = |held: &(TaskId, u64)| self.live(&held.0) == Some(held.1);
        let held = self.packs.iter().filter(|(held, _)| live(held)).map(|(held, _)| held.0.clone());
        held.take(most).collect()
    }

    /// Whether more than one `part`th of the memory for packs is free, as far as is known without waiting.
    pub fn has_room(&self, part: u64) -> bool {
        let budget = self.packs.policy().max_capacity().unwrap_or(u64::MAX);
        self.packs.weighted_size() < budget - budget / part.max(1)
    }

    /// Known tasks, published or not.
    pub fn tasks(&self) -> Vec<TaskId> {
        self.read().keys().cloned().collect()
    }

    /// Makes versions live without reading them, as found at the start. Tasks beyond what their owner may have, by name,
    /// are not live.
    pub fn list(&self, found: impl IntoIterator<Item = (TaskId, u64)>) {
        for (task, version) in found {
            let entry = match self.one_too_many(&task) {
                None => {
                    self.owned.one_more(self.allowances.of(&task));
                    Entry::of(version)
                }
                Some(_) => {
                    let failure =
                        Failure { version, kind: FailureKind::OverLimit, reason: OVER_LIMIT.into() };
                    self.lock_doubtful().insert(task.clone());
                    Entry { failure: Some(failure), ..Entry::default() }
                }
            };
            self.write().insert(task, entry);
        }
        self.metrics.packs.tasks.set(self.published() as i64);
    }

    /// What keeps a task that is not live from becoming it: its owner has as many as it may have.
    pub fn one_too_many(&self, task: &TaskId) -> Option<OverLimit> {
        let Allowance { owner, tasks: most, .. } = self.allowances.of(task)?;
        let most = most?;
        if self.live(task).is_some() {
            return None;
        }
        let count = self.owned.count(&owner, || self.count_owned());
        (count >= most).then_some(OverLimit { owner, most })
    }

    /// Live tasks by owner.
    fn count_owned(&self) -> HashMap<Arc<str>, usize> {
        let mut counts = HashMap::new();
        let live: Vec<TaskId> = {
            let tasks = self.read();
            tasks.iter().filter(|(_, entry)| entry.live.is_some()).map(|(task, _)| task.clone()).collect()
        };
        for allowance in live.iter().filter_map(|task| self.allowances.of(task)) {
            *counts.entry(allowance.owner).or_default() += 1;
        }
        counts
    }

    /// Puts a pack into memory and takes out those of its owner that have no place beside it.
    pub(super) async fn hold(&self, task: &TaskId, version: u64, bytes: usize) {
        let held = (task.clone(), version);
        for going in self.holdings.came(&held, bytes as u64, self.allowances.of(task)) {
            self.metrics.packs.pack_evictions.inc();
            self.packs.invalidate(&going).await;
        }
    }

    /// Completes pending evictions, so that the gauges are right at a scrape.
    pub async fn settle(&self) {
        self.packs.run_pending_tasks().await;
    }

    /// Folder of one version.
    pub fn folder(&self, task: &TaskId, version: u64) -> PathBuf {
        self.root.join(task.as_str()).join(version.to_string())
    }

    pub(super) fn count_load(&self, pack: &Pack) {
        self.metrics.packs.pack_loads.inc();
        self.metrics.packs.packs_resident.inc();
        self.metrics.packs.packs_resident_bytes.add(pack.bytes() as i64);
    }

    fn describe(&self, task: &TaskId, entry: &Entry) -> TaskStatus {
        let resident = entry.live.is_some_and(|live| self.packs.contains_key(&(task.clone(), live)));
        let Entry { live, failure, kept, rewritten, .. } = entry.clone();
        let is_unloaded = self.is_unloaded(task);
        TaskStatus { task: task.clone(), live, resident, failure, kept, rewritten, is_unloaded }
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, BTreeMap<TaskId, Entry>> {
        self.tasks.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<TaskId, Entry>> {
        self.tasks.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lock_doubtful(&self) -> MutexGuard<'_, BTreeSet<TaskId>> {
        self.doubtful.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
