//! What handlers share.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::error::{ApiError, Code, catalog_code, reload_code};
use super::memory::Memory;
use super::told::Folders;
use crate::catalog::{self, Catalog};
use crate::engine::Engine;
use crate::image::Limits;
use crate::metrics::Metrics;
use crate::reload::{self, Reloader};

/// Limits of the HTTP surface.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// Largest body, bytes.
    pub payload_limit: usize,
    /// Most images in one request.
    pub max_images: usize,
    /// Most tasks in one request.
    pub max_tasks: usize,
    /// Deadline of a request that names none.
    pub timeout: Duration,
    /// Longest time for a body.
    pub body_timeout: Duration,
    /// Most memory that all requests hold together, bytes: bodies, and images being decoded.
    pub bytes_in_flight: u64,
    /// Images decoded at once.
    pub decoders: usize,
    /// Whether what frozen blocks give for images may be kept, unless a request says no.
    pub keeps_prefixes: bool,
    /// Limits of one image.
    pub image: Limits,
}

/// What handlers share; cheap to clone.
#[derive(Clone)]
pub struct AppState {
    pub(super) engine: Engine,
    pub(super) catalog: Arc<Catalog>,
    pub(super) reloader: Arc<Reloader>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) options: Arc<HttpOptions>,
    pub(super) decoders: Arc<Semaphore>,
    pub(super) memory: Arc<Memory>,
    folders: Arc<Folders>,
    ready: Arc<AtomicBool>,
}

/// What the surface is put over.
pub struct Services {
    /// Runs rows.
    pub engine: Engine,
    /// Knows tasks.
    pub catalog: Arc<Catalog>,
    /// Publishes versions.
    pub reloader: Arc<Reloader>,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

impl AppState {
    /// Puts services and limits together; ready at once, see [`AppState::set_ready`].
    pub fn new(services: Services, options: HttpOptions) -> Self {
        let Services { engine, catalog, reloader, metrics } = services;
        let memory = Memory::new(options.bytes_in_flight, Arc::clone(&metrics));
        let folders = Folders::new([catalog.root()]);
        Self {
            engine,
            catalog,
            reloader,
            metrics,
            decoders: Arc::new(Semaphore::new(options.decoders.max(1))),
            memory,
            folders: Arc::new(folders),
            options: Arc::new(options),
            ready: Arc::new(AtomicBool::new(true)),
        }
    }

    /// The same, telling clients nothing of where these files and folders are either.
    pub fn hiding(self, more: &[&Path]) -> Self {
        let folders = Folders::new(more.iter().copied().chain([self.catalog.root()]));
        Self { folders: Arc::new(folders), ..self }
    }

    /// A failure of the catalog, as a client is told it.
    pub(super) fn catalog_error(&self, error: &catalog::Error) -> ApiError {
        self.part(catalog_code(error), error.to_string())
    }

    /// A failure to publish, as a client is told it.
    pub(super) fn reload_error(&self, error: &reload::Error) -> ApiError {
        self.part(reload_code(error), error.to_string())
    }

    fn part(&self, code: Code, text: String) -> ApiError {
        match code {
            // The log gets it as it is, the client nothing of it.
            Code::Internal | Code::InferenceFailed => ApiError::Part { code, told: text },
            _ => ApiError::Part { code, told: self.told(&text) },
        }
    }

    /// A text from inside, as a client is told it.
    pub(super) fn told(&self, text: &str) -> String {
        self.folders.strip(text)
    }

    /// Whether load balancers should send requests.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Tells load balancers whether to send requests.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }
}
