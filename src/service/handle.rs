//! What every door holds.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use super::causes;
use super::code::Code;
use super::decoders::Decoders;
use super::error::Error;
use super::memory::{Held, Memory};
use super::options::ServiceOptions;
use super::rejection::{Ending, Rejection};
use super::tallies::Tallies;
use super::told::Folders;
use crate::audit::Audit;
use crate::backbone::{BackboneConfig, Precision};
use crate::catalog::{self, Catalog};
use crate::engine::Engine;
use crate::journal::State;
use crate::metrics::{Metrics, NO_TASK};
use crate::pack::{self, Pack, TaskId};
use crate::reload::{self, Pinned, Reloader};
use crate::tenants::{Caller, Tenants};
use crate::text::brief;
use crate::usage::Usage;

/// Reloads that are served at once; they take turns, so more would only wait.
pub(super) const RELOADS_AT_ONCE: usize = 8;
/// Versions that come at once as bodies. They have places of their own: whoever sends slowly keeps no reload out.
pub(super) const UPLOADS_AT_ONCE: usize = 32;
/// Confirmations that are served at once. They have places of their own: reloads that hang do not keep them out.
pub(super) const CONFIRMATIONS_AT_ONCE: usize = 2;

/// What the service is put over.
pub struct Parts {
    /// Runs rows.
    pub engine: Engine,
    /// Knows tasks.
    pub catalog: Arc<Catalog>,
    /// Publishes versions.
    pub reloader: Arc<Reloader>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Knows who may do what.
    pub tenants: Arc<Tenants>,
    /// Counts what tenants use.
    pub usage: Usage,
    /// Notes who did what.
    pub audit: Audit,
}

/// Handle of the service. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) engine: Engine,
    pub(super) catalog: Arc<Catalog>,
    pub(super) reloader: Arc<Reloader>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) tenants: Arc<Tenants>,
    pub(super) options: ServiceOptions,
    pub(super) decoders: Arc<Decoders>,
    pub(super) memory: Arc<Memory>,
    pub(super) reloads: Semaphore,
    pub(super) uploads: Arc<Semaphore>,
    pub(super) confirmations: Semaphore,
    pub(super) tallies: Tallies,
    /// The frozen backbone as a task.
    pub(super) bare: Pinned,
    usage: Usage,
    audit: Audit,
    folders: Folders,
    ready: AtomicBool,
}

impl Service {
    /// Puts parts and limits together; ready at once, see [`Service::set_ready`]. Callers are told nothing of where the
    /// folder of packs and the `hidden` files and folders are.
    pub fn new(parts: Parts, options: ServiceOptions, hidden: &[&Path]) -> Self {
        let Parts { engine, catalog, reloader, metrics, tenants, usage, audit } = parts;
        let pack = Arc::new(Pack::bare(catalog.base(), engine.precision()));
        let bare = Pinned { task: TaskId::none(), version: 0, pack };
        for reason in Rejection::ALL {
            metrics.requests.rejections.with_label_values(&[reason.as_str()]).inc_by(0);
        }
        for code in Code::ALL {
            metrics.requests.answers.with_label_values(&[code.as_str()]).inc_by(0);
        }
        let folders = Folders::new(hidden.iter().copied().chain([catalog.root()]));
        let shared = Shared {
            engine,
            catalog,
            reloader,
            decoders: Decoders::new(options.decoders),
            memory: Memory::new(options.bytes_in_flight, Arc::clone(&metrics)),
            reloads: Semaphore::new(RELOADS_AT_ONCE),
            uploads: Arc::new(Semaphore::new(UPLOADS_AT_ONCE)),
            confirmations: Semaphore::new(CONFIRMATIONS_AT_ONCE),
            tallies: Tallies::default(),
            bare,
            metrics,
            tenants,
            options,
            usage,
            audit,
            folders,
            ready: AtomicBool::new(true),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The limits.
    pub fn options(&self) -> &ServiceOptions {
        &self.shared.options
    }

    /// The frozen backbone.
    pub fn backbone(&self) -> &BackboneConfig {
        self.shared.engine.config()
    }

    /// What the backbone multiplies in.
    pub fn precision(&self) -> Precision {
        self.shared.engine.precision()
    }

    /// Who may do what.
    pub fn tenants(&self) -> &Tenants {
        &self.shared.tenants
    }

    /// Logs that cannot be written now.
    pub fn failing_logs(&self) -> Vec<&'static str> {
        let logs = [("usage", self.usage().state()), ("audit", self.audit().state())];
        let fails = |state: Option<&State>| state.is_some_and(|state| state.trouble().is_some());
        logs.into_iter().filter(|(_, state)| fails(*state)).map(|(name, _)| name).collect()
    }

    /// Counts what tenants use.
    pub fn usage(&self) -> &Usage {
        &self.shared.usage
    }

    /// Notes who did what.
    pub fn audit(&self) -> &Audit {
        &self.shared.audit
    }

    /// The task's live pack, or that of a version by `task@version`, for a caller that may use it. One that is read for
    /// the first time gives its stored answers before, within the deadline. Callers that may not change the task get
    /// versions that a label names, no others.
    ///
    /// # Errors
    /// When there is no such task, none of its versions works, or the deadline passes. A task that the caller may not use
    /// is answered as one that there is not, and before anything is looked up that could take another time.
    pub async fn pin(&self, caller: &Caller, task: &str, deadline: Instant) -> Result<Pinned, Error> {
        let (task, version) = addressed(task);
        let task: TaskId = task.parse().map_err(Error::TaskId)?;
        caller.asks(&task);
        if !caller.may_use(&task) {
            return Err(self.unknown(&task));
        }
        let reloader = &self.shared.reloader;
        let pinned = async {
            self.learn(caller, &task).await?;
            let Some(text) = version else { return reloader.pin(&task).await };
            let wrong = || reload::Error::NoNumber { task: task.clone(), version: brief(text) };
            let version = pack::parse_version(text).ok_or_else(wrong)?;
            if !caller.may_change(&task) {
                reloader.check_named(&task, version).await?;
            }
            reloader.pin_version(&task, version).await
        };
        let pinned = tokio::time::timeout_at(deadline.into(), pinned).await;
        let pinned = pinned.map_err(|_| Error::late())?;
        pinned.map_err(|error| self.reload_error(&error))
    }

    /// Has the catalog know a task that a caller asks for.
    pub(super) async fn learn(&self, caller: &Caller, task: &TaskId) -> Result<(), reload::Error> {
        let tenant = caller.tenant().map(|tenant| tenant.name().shared());
        self.shared.reloader.learn_for(task, tenant).await
    }

    /// Whether a row would be admitted now. Overload is told before a body is read, which is cheap; rows are admitted
    /// after, so that no slow client holds one.
    ///
    /// # Errors
    /// When too many rows are in flight, or the server is ending.
    pub fn room(&self) -> Result<(), Error> {
        Ok(self.shared.engine.room(1)?)
    }

    /// Memory for the body of one of a caller's requests, none yet.
    pub fn hold(&self, caller: &Caller) -> Held {
        self.shared.memory.hold(caller.share())
    }

    /// A task that there is not, or that the caller may not know of.
    pub(super) fn unknown(&self, task: &TaskId) -> Error {
        self.catalog_error(&catalog::Error::UnknownTask(task.to_string()))
    }

    /// Counts one request or one task's part of it. Without a caller it is nobody's. How long an inference took is kept by
    /// task where it was answered.
    pub fn count(&self, caller: Option<&Caller>, task: &str, ending: Ending, inferred: Option<Duration>) {
        // Only names that the catalog knows become label values, and only for who may know of them.
        let known = caller.and_then(|caller| {
            let task = addressed(task).0.parse::<TaskId>().ok()?;
            (caller.may_see(&task) && self.shared.catalog.contains(&task)).then_some(task)
        });
        let label = known.as_ref().map_or(NO_TASK, TaskId::as_str);
        let (metrics, Ending { code, rejection }) = (&self.shared.metrics, ending);
        metrics.requests.tasks.request(label, code.as_str());
        metrics.requests.answers.with_label_values(&[code.as_str()]).inc();
        if let Some(rejection) = rejection {
            metrics.requests.rejections.with_label_values(&[rejection.as_str()]).inc();
        }
        let Some(known) = known else { return };
        if let Some(time) = inferred.filter(|_| code == Code::Ok) {
            metrics.requests.times.observe(known.as_str(), time);
        }
        forget_unpublished(metrics, &self.shared.catalog, &known);
    }

    /// Records how long a request took, from its head to its answer.
    pub fn took(&self, time: Duration) {
        self.shared.metrics.requests.request_seconds.observe(time.as_secs_f64());
    }

    /// Every series, in Prometheus' text format.
    ///
    /// # Errors
    /// When a series cannot be encoded.
    pub async fn series(&self) -> Result<Vec<u8>, Error> {
        self.shared.catalog.settle().await;
        self.shared.usage.settle();
        self.shared.metrics.render().map_err(|e| Error::Internal(e.to_string()))
    }

    /// Whether load balancers should send requests.
    pub fn is_ready(&self) -> bool {
        self.shared.ready.load(Ordering::Acquire) && self.shared.reloader.is_folder_there() && self.is_live()
    }

    /// Whether some device answers; where none does, only a new process may help.
    pub fn is_live(&self) -> bool {
        self.shared.engine.answers()
    }

    /// Whether the store of packs does not answer; what is here is served.
    pub fn is_store_away(&self) -> bool {
        self.shared.catalog.store().is_some_and(|store| store.away().is_some())
    }

    /// Tells load balancers whether to send requests.
    pub fn set_ready(&self, ready: bool) {
        self.shared.ready.store(ready, Ordering::Release);
    }

    /// A failure of the catalog, as a caller is told it.
    pub(super) fn catalog_error(&self, error: &catalog::Error) -> Error {
        self.part(causes::of_catalog(error), error.to_string())
    }

    /// A failure to publish, as a caller is told it.
    pub(super) fn reload_error(&self, error: &reload::Error) -> Error {
        self.part(causes::of_reload(error), error.told())
    }

    fn part(&self, code: Code, text: String) -> Error {
        // The log gets a failure inside as it is, the caller nothing of it.
        let told = if code.is_inside() { text } else { self.told(&text) };
        Error::Part { code, told }
    }

    /// A text from inside, as a caller is told it.
    pub(super) fn told(&self, text: &str) -> String {
        self.shared.folders.strip(text)
    }
}

/// A task and the version that is asked for, if one is: `task@version`.
fn addressed(task: &str) -> (&str, Option<&str>) {
    task.split_once('@').map_or((task, None), |(task, version)| (task, Some(version)))
}

/// Forgets what was counted of a task that went meanwhile. One that goes after this look is forgotten then.
pub(super) fn forget_unpublished(metrics: &Metrics, catalog: &Catalog, task: &TaskId) {
    if !catalog.contains(task) {
        metrics.forget_task(task.as_str());
    }
}
