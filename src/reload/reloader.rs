//! What publishes versions, with all that it keeps.

use std::sync::{Arc, PoisonError};

use tokio::sync::{Mutex, Semaphore};

use super::attempts::Attempts;
use super::checks::Checks;
use super::failed::Failed;
use super::lessons::Lessons;
use super::options::ReloadOptions;
use super::status::FolderStatus;
use super::survey::Survey;
use super::verdicts::Verdicts;
use super::watcher::Watcher;
use crate::audit::{Audit, Event, Who};
use crate::catalog::Catalog;
use crate::engine::Engine;
use crate::image::Limits;
use crate::metrics::Metrics;

/// Versions checked at once before they answer for the first time: they leave memory and the engine to other requests.
const CHECKS_AT_ONCE: usize = 4;

/// Publishes versions, asked by the watcher or by a client.
pub struct Reloader {
    pub(super) catalog: Arc<Catalog>,
    pub(super) engine: Engine,
    pub(super) metrics: Arc<Metrics>,
    pub(super) limits: Limits,
    pub(super) options: ReloadOptions,
    /// Versions that failed; held by whoever publishes, so that publishing takes turns.
    pub(super) attempts: Mutex<Attempts>,
    /// Packs that gave their stored answers on this engine.
    pub(super) verdicts: Arc<Verdicts>,
    /// Checks that requests wait for.
    pub(super) checks: Checks,
    /// Packs whose check failed lately.
    pub(super) failed: Failed,
    pub(super) turns: Semaphore,
    /// What a store said about tasks that are not published.
    pub(super) lessons: Lessons,
    pub(super) survey: Arc<std::sync::Mutex<Survey>>,
    pub(super) watcher: Mutex<Watcher>,
    status: std::sync::RwLock<FolderStatus>,
    audit: Option<Audit>,
}

impl Reloader {
    /// Makes a reloader. `arithmetic` names what computes answers, see [`arithmetic`](super::arithmetic).
    pub fn new(
        catalog: Arc<Catalog>,
        engine: Engine,
        metrics: Arc<Metrics>,
        options: ReloadOptions,
        arithmetic: String,
    ) -> Self {
        let verdicts = Arc::new(Verdicts::open(options.state.as_deref(), arithmetic));
        let survey = Survey::new(Arc::clone(catalog.disk()), catalog.root(), options.notices);
        let watcher = Mutex::new(Watcher::new(catalog.root(), &options));
        Self {
            catalog,
            engine,
            metrics,
            limits: Limits::default(),
            options,
            attempts: Mutex::default(),
            verdicts,
            checks: Checks::default(),
            failed: Failed::default(),
            turns: Semaphore::new(CHECKS_AT_ONCE),
            lessons: Lessons::default(),
            survey: Arc::new(std::sync::Mutex::new(survey)),
            watcher,
            status: std::sync::RwLock::default(),
            audit: None,
        }
    }

    /// The same, noting what is published and what is refused.
    pub fn with_audit(self, audit: Audit) -> Self {
        Self { audit: Some(audit), ..self }
    }

    /// Notes what happened to a version, and who asked for it; nobody need have.
    pub(super) fn note(&self, by: Option<&Who>, event: &Event) {
        if let Some(audit) = &self.audit {
            audit.record(by.unwrap_or(&Who::default()), event);
        }
    }

    /// What is known of the folder of packs.
    pub fn folder_status(&self) -> FolderStatus {
        self.status.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the folder of packs is there: false after a start over an empty folder where there were tasks before.
    pub fn is_folder_there(&self) -> bool {
        !self.status.read().unwrap_or_else(PoisonError::into_inner).is_awaited
    }

    pub(super) fn change_status(&self, change: impl FnOnce(&mut FolderStatus)) {
        change(&mut self.status.write().unwrap_or_else(PoisonError::into_inner));
    }
}
