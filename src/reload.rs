//! New versions, from folder to live: read, check, compile, warm, publish. One at a time.
//!
//! A version is read and checked, its program is compiled if none is installed for its sites, and its self-test runs on
//! the engine that will serve it; only then is one entry of the catalog swapped. Whatever fails leaves the catalog as it
//! was, and is tried again when its files change or, where they could not be read, by itself.
//!
//! | file | holds |
//! |---|---|
//! | `survey`, `watched` | what has changed in the folder of packs |
//! | `home`, `memory`, `trust` | whether it is still the same folder |
//! | `losses` | which losses of a listing are believed (pure) |
//! | `attempts` | which failed versions are tried again, and when (pure) |
//! | `watch` | brings the catalog to what the folder holds |
//! | `self_test`, `verdicts` | stored answers, and who has given them |
//! | `rewritten` | live versions whose files changed |

mod attempts;
mod error;
mod home;
mod losses;
mod memory;
mod options;
mod rewritten;
mod self_test;
mod status;
mod survey;
mod trust;
mod verdicts;
mod watch;
mod watched;

use std::io;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{Mutex, Semaphore};

pub use error::Error;
pub use home::MARKER_FILE;
pub use options::ReloadOptions;
pub use status::FolderStatus;
pub use verdicts::{VERDICTS_FILE, arithmetic};

use crate::catalog::{Catalog, Failure, FailureKind};
use crate::engine::{self, Engine};
use crate::image::Limits;
use crate::metrics::Metrics;
use crate::pack::{Pack, TaskId, VersionState};
use attempts::Attempts;
use self_test::Checks;
use survey::{Survey, versions_now};
use verdicts::Verdicts;
use watch::Watcher;

/// Versions that are checked at once before they answer for the first time: they must take neither memory nor the engine
/// from other requests.
const CHECKS_AT_ONCE: usize = 4;

/// Publishes versions, asked by the watcher or over HTTP.
pub struct Reloader {
    catalog: Arc<Catalog>,
    engine: Engine,
    metrics: Arc<Metrics>,
    limits: Limits,
    codes: Vec<&'static str>,
    options: ReloadOptions,
    /// Versions that failed; held by whoever publishes, so that publishing takes turns.
    attempts: Mutex<Attempts>,
    /// Packs that gave their stored answers on this engine.
    verdicts: Arc<Verdicts>,
    /// Checks that requests wait for.
    checks: Checks,
    turns: Semaphore,
    survey: Arc<std::sync::Mutex<Survey>>,
    watcher: Mutex<Watcher>,
    status: std::sync::RwLock<FolderStatus>,
}

impl Reloader {
    /// Makes a reloader. `codes` are the label values a task's series may have, to be forgotten with the task;
    /// `arithmetic` tells what computes answers, see [`arithmetic`].
    pub fn new(
        catalog: Arc<Catalog>,
        engine: Engine,
        metrics: Arc<Metrics>,
        codes: Vec<&'static str>,
        (options, arithmetic): (ReloadOptions, String),
    ) -> Self {
        let verdicts = Arc::new(Verdicts::open(options.state.as_deref(), arithmetic));
        let survey = Survey::new(Arc::clone(catalog.disk()), catalog.root(), options.notices);
        let watcher = Mutex::new(Watcher::new(catalog.root(), &options));
        Self {
            catalog,
            engine,
            metrics,
            limits: Limits::default(),
            codes,
            options,
            attempts: Mutex::default(),
            verdicts,
            checks: Checks::default(),
            turns: Semaphore::new(CHECKS_AT_ONCE),
            survey: Arc::new(std::sync::Mutex::new(survey)),
            watcher,
            status: std::sync::RwLock::default(),
        }
    }

    /// Publishes the newest version of `task` in the folder, even if it is live or has failed before.
    ///
    /// # Errors
    /// The reason why the catalog was left as it was.
    pub async fn reload(&self, task: &TaskId) -> Result<u64, Error> {
        let mut attempts = self.attempts.lock().await;
        let versions = self.versions(task).await?;
        let newest = versions.into_iter().max().ok_or_else(|| Error::NoVersion(task.clone()))?;
        let state = self.state_of(task, newest).await;
        attempts.forget(task);
        self.publish((task, newest), state, &mut attempts).await.map(|()| newest)
    }

    async fn versions(&self, task: &TaskId) -> Result<Vec<u64>, Error> {
        let (disk, root) = (Arc::clone(self.catalog.disk()), self.catalog.root().to_owned());
        let listed = {
            let task = task.clone();
            blocking(move || versions_now(&*disk, &root, &task)).await?
        };
        listed.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Error::NoVersion(task.clone()),
            _ => Error::Listing { task: task.clone(), reason: error.to_string() },
        })
    }

    /// How the files of a version look; none where the system cannot tell.
    async fn state_of(&self, task: &TaskId, version: u64) -> Option<VersionState> {
        let (disk, folder) = (Arc::clone(self.catalog.disk()), self.catalog.folder(task, version));
        blocking(move || VersionState::of(&*disk, &folder)).await.ok()?.ok()
    }

    async fn publish(
        &self,
        (task, version): (&TaskId, u64),
        state: Option<VersionState>,
        attempts: &mut Attempts,
    ) -> Result<(), Error> {
        match self.prepare(task, version).await {
            Ok(published) => {
                self.catalog.publish(task, version, published).await;
                attempts.passed(task, version);
                self.metrics.pack_reloads.with_label_values(&["published"]).inc();
                tracing::info!(%task, version, "published");
                Ok(())
            }
            Err(error) => {
                let kind = error.kind();
                // A version is logged once as long as it fails alike, not at every look.
                if attempts.failed((task, version), state, kind, Instant::now()) {
                    self.tell_failure(task, version, kind, &error);
                }
                self.catalog.fail(task, Failure { version, kind, reason: error.to_string() });
                Err(error)
            }
        }
    }

    fn tell_failure(&self, task: &TaskId, version: u64, kind: FailureKind, error: &Error) {
        self.metrics.pack_reloads.with_label_values(&["failed"]).inc();
        if kind == FailureKind::Unreadable {
            self.metrics.folder_errors.with_label_values(&["version"]).inc();
        }
        let retried = kind.retried();
        if kind == FailureKind::Broken {
            tracing::error!(%task, version, %error, retried, "not published");
        } else {
            tracing::warn!(%task, version, %error, %kind, retried, "not published yet");
        }
    }

    /// Reads, checks, compiles and warms a version. One trained at another precision cannot give its stored answers to
    /// the last digits: it is published all the same, with a warning that tells how far off they are.
    async fn prepare(&self, task: &TaskId, version: u64) -> Result<(Arc<Pack>, VersionState), Error> {
        let (pack, self_test, state) = self.read(task, version).await?;
        self.engine.prepare(pack.sites).await.map_err(|_| engine::Error::WorkerLost)??;
        let difference = self.test_once(task, &pack, self_test).await?;
        if !self.is_strict(&pack) {
            warn_of_precision(task, &pack, &self.engine);
            tracing::warn!(%task, version, difference, "largest difference of a stored answer, relative to its largest logit");
        }
        Ok((pack, state))
    }
}

/// Warns where a pack was trained at another precision than the server runs; it serves all the same.
pub(crate) fn warn_of_precision(task: &TaskId, pack: &Pack, engine: &Engine) {
    let (trained, served) = (pack.manifest.precision, engine.precision());
    if trained != served {
        tracing::warn!(%task, %trained, %served, "precisions differ: `server eval` tells what that costs");
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|e| Error::Interrupted(e.to_string()))
}
