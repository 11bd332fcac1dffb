//! New versions, from folder to live: read, check, compile, warm, publish. One at a time.
//!
//! A version appears in the folder by a rename, so what is seen is whole. It is read and checked, its program
//! is compiled if none is installed for its sites, and its self-test runs on the engine that will serve it;
//! only then is one entry of the catalog swapped. Whatever fails leaves the catalog as it was.

mod self_test;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::catalog::{self, Catalog};
use crate::engine::{self, Engine};
use crate::image::{self, Limits};
use crate::metrics::Metrics;
use crate::pack::{self, Pack, TaskId};

/// Why a version was not published.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The task has no folder or no version in it.
    #[error("task {0} has no version in the folder of packs")]
    NoVersion(TaskId),
    /// The pack cannot be read or does not fit.
    #[error(transparent)]
    Pack(#[from] pack::Error),
    /// The engine could not compile or run it.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// A stored image cannot be read.
    #[error("self-test image {index}: {source}")]
    SelfTestImage {
        /// Which image.
        index: usize,
        /// What is wrong with it.
        source: image::Error,
    },
    /// A stored input does not give its stored logits.
    #[error(
        "self-test image {index}: logit {class} is {found}, stored {expected} (allowed difference {allowed})"
    )]
    SelfTest {
        /// Which image.
        index: usize,
        /// Which class.
        class: usize,
        /// What the engine gave.
        found: f32,
        /// What is stored.
        expected: f32,
        /// The largest allowed difference.
        allowed: f32,
    },
    /// A task of the blocking pool was cancelled.
    #[error("reading was interrupted: {0}")]
    Interrupted(String),
}

/// Versions that could not be published, by task.
type Failed = BTreeMap<TaskId, BTreeSet<u64>>;

/// Publishes versions, asked by the watcher or over HTTP.
pub struct Reloader {
    catalog: Arc<Catalog>,
    engine: Engine,
    metrics: Arc<Metrics>,
    limits: Limits,
    codes: Vec<&'static str>,
    /// Versions that failed, so that the watcher tries each once; also makes reloads take turns.
    failed: Mutex<Failed>,
    /// Versions that gave their stored answers on this engine.
    verified: std::sync::Mutex<BTreeSet<(TaskId, u64)>>,
    /// Held by whichever version is being verified.
    verifying: Mutex<()>,
}

impl Reloader {
    /// Makes a reloader. `codes` are the label values a task's series may have, to be forgotten with the task.
    pub fn new(
        catalog: Arc<Catalog>,
        engine: Engine,
        metrics: Arc<Metrics>,
        codes: Vec<&'static str>,
    ) -> Self {
        let (limits, failed) = (Limits::default(), Mutex::default());
        let (verified, verifying) = Default::default();
        Self { catalog, engine, metrics, limits, codes, failed, verified, verifying }
    }

    /// Publishes the newest version of `task` in the folder, even if it is live or has failed before.
    ///
    /// # Errors
    /// The reason why the catalog was left as it was.
    pub async fn reload(&self, task: &TaskId) -> Result<u64, Error> {
        let mut failed = self.failed.lock().await;
        let newest =
            self.versions(task).await.into_iter().max().ok_or_else(|| Error::NoVersion(task.clone()))?;
        failed.remove(task);
        self.publish(task, newest, &mut failed).await.map(|()| newest)
    }

    /// Lists every task at its newest version, reading none.
    ///
    /// # Errors
    /// When the folder of packs cannot be listed.
    pub async fn list(&self) -> Result<usize, catalog::Error> {
        let found = self.scan().await?;
        for (task, versions) in found {
            if let Some(newest) = versions.into_iter().max() {
                self.catalog.list(task, newest);
            }
        }
        Ok(self.catalog.published())
    }

    /// Compares folder and catalog every `interval`, until the future is dropped. Polling works on every file
    /// system, network volumes included, where change notices do not.
    pub async fn watch(&self, interval: Duration) {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match self.scan().await {
                Ok(found) => self.compare(found).await,
                // The catalog stays as it is: an unmounted volume must not unpublish every task.
                Err(error) => tracing::error!(%error, "the folder of packs cannot be listed"),
            }
        }
    }

    /// Brings the catalog to what the folder holds.
    async fn compare(&self, found: BTreeMap<TaskId, Vec<u64>>) {
        for (task, _) in self.catalog.snapshot() {
            if !found.contains_key(&task) {
                tracing::info!(%task, "unpublished: its folder is gone");
                self.catalog.remove(&task, &self.codes).await;
                self.failed.lock().await.remove(&task);
            }
        }
        for (task, versions) in found {
            self.advance(&task, &versions).await;
        }
    }

    /// Publishes the newest version that is newer than the live one and has not failed; when the live one's
    /// folder is gone, the newest that works.
    async fn advance(&self, task: &TaskId, versions: &[u64]) {
        let live = self.catalog.live(task).filter(|live| versions.contains(live));
        let newer = versions.iter().rev().copied().take_while(|&version| Some(version) > live);
        let mut failed = self.failed.lock().await;
        for version in newer {
            let tried = failed.get(task).is_some_and(|versions| versions.contains(&version));
            if !tried && self.publish(task, version, &mut failed).await.is_ok() {
                return;
            }
        }
    }

    async fn publish(&self, task: &TaskId, version: u64, failed: &mut Failed) -> Result<(), Error> {
        match self.prepare(task, version).await {
            Ok(pack) => {
                self.catalog.publish(task, version, pack).await;
                self.lock_verified().insert((task.clone(), version));
                self.metrics.pack_reloads.with_label_values(&["published"]).inc();
                tracing::info!(%task, version, "published");
                Ok(())
            }
            Err(error) => {
                // A broken version is logged once, not at every look.
                tracing::error!(%task, version, %error, "not published");
                self.metrics.pack_reloads.with_label_values(&["failed"]).inc();
                self.catalog.fail(task, version, error.to_string());
                failed.entry(task.clone()).or_default().insert(version);
                Err(error)
            }
        }
    }

    /// Reads, checks, compiles and warms a version. One trained at another precision cannot give its stored answers to
    /// the last digits: it is published all the same, with a warning that tells how far off they are.
    async fn prepare(&self, task: &TaskId, version: u64) -> Result<Arc<Pack>, Error> {
        let (pack, self_test) = self.read(task, version).await?;
        self.engine.prepare(pack.sites).await.map_err(|_| engine::Error::WorkerLost)??;
        let difference = self.self_test(task, &pack, self_test).await?;
        if !self.is_strict(&pack) {
            warn_of_precision(task, &pack, &self.engine);
            tracing::warn!(%task, version, difference, "largest difference of a stored answer, relative to its largest logit");
        }
        Ok(pack)
    }

    async fn versions(&self, task: &TaskId) -> Vec<u64> {
        let folder = self.catalog.root().join(task.as_str());
        blocking(move || pack::versions(&folder).unwrap_or_default()).await.unwrap_or_default()
    }

    /// Every task's versions in the folder.
    async fn scan(&self) -> Result<BTreeMap<TaskId, Vec<u64>>, catalog::Error> {
        let root = self.catalog.root().to_owned();
        let failed = |reason: String| catalog::Error::Folder { path: self.catalog.root().to_owned(), reason };
        let scanned = blocking(move || scan_folder(&root)).await.map_err(|e| failed(e.to_string()))?;
        scanned.map_err(|e| failed(e.to_string()))
    }
}

/// Warns where a pack was trained at another precision than the server runs; it serves all the same.
pub(crate) fn warn_of_precision(task: &TaskId, pack: &Pack, engine: &Engine) {
    let (trained, served) = (pack.manifest.precision, engine.precision());
    if trained != served {
        tracing::warn!(%task, %trained, %served, "precisions differ: `server eval` tells what that costs");
    }
}

fn scan_folder(root: &std::path::Path) -> std::io::Result<BTreeMap<TaskId, Vec<u64>>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(root)? {
        let entry = entry?;
        let task = entry.file_name().to_str().and_then(|name| name.parse::<TaskId>().ok());
        let Some(task) =
            task.filter(|_| entry.file_type().is_ok_and(|kind| kind.is_dir() || kind.is_symlink()))
        else {
            continue;
        };
        // A task's folder that goes while we look is a task without versions.
        let versions = pack::versions(&entry.path()).unwrap_or_default();
        if !versions.is_empty() {
            found.insert(task, versions);
        }
    }
    Ok(found)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|e| Error::Interrupted(e.to_string()))
}
