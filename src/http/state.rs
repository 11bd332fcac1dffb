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

impl AppState {
    /// Puts the parts together. The service is ready at once; see [`AppState::set_ready`].
    pub fn new(
        engine: Engine,
        catalog: Arc<Catalog>,
        reloader: Arc<Reloader>,
        metrics: Arc<Metrics>,
    ) -> AppStateBuilder {
        AppStateBuilder { engine, catalog, reloader, metrics }
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

/// The parts, waiting for limits.
pub struct AppStateBuilder {
    engine: Engine,
    catalog: Arc<Catalog>,
    reloader: Arc<Reloader>,
    metrics: Arc<Metrics>,
}

impl AppStateBuilder {
    /// Adds the limits.
    pub fn with_options(self, options: HttpOptions) -> AppState {
        AppState {
            engine: self.engine,
            catalog: self.catalog,
            reloader: self.reloader,
            metrics: self.metrics,
            decoders: Arc::new(Semaphore::new(options.decoders.max(1))),
            options: Arc::new(options),
            ready: Arc::new(AtomicBool::new(true)),
        }
    }
}
