//! What handlers share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::catalog::Catalog;
use crate::engine::Engine;
use crate::image::Limits;
use crate::metrics::Metrics;
use crate::reload::Reloader;

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
        Self {
            engine,
            catalog,
            reloader,
            metrics,
            decoders: Arc::new(Semaphore::new(options.decoders.max(1))),
            options: Arc::new(options),
            ready: Arc::new(AtomicBool::new(true)),
        }
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
