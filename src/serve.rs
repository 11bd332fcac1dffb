//! The composition root of serving: builds every part, runs the service, ends it in order.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpListener;

use crate::backbone::BackboneConfig;
use crate::catalog::Catalog;
use crate::engine::{Engine, EngineOptions, Parts};
use crate::http::{self, AppState, Code, HttpOptions, Services};
use crate::metrics::Metrics;
use crate::reload::{ReloadOptions, Reloader, arithmetic};
use crate::runtime::{Runtime, RuntimeOptions, WeightOptions, WeightStore};

/// Everything serving needs, checked once.
#[derive(Clone, Debug)]
pub struct Config {
    /// Folder of the backbone: `config.json`, `backbone.safetensors`.
    pub backbone: PathBuf,
    /// Folder of packs.
    pub adapters: PathBuf,
    /// The runtime.
    pub runtime: RuntimeOptions,
    /// How the backbone's weights are kept.
    pub weights: WeightOptions,
    /// The engine.
    pub engine: EngineOptions,
    /// The HTTP surface.
    pub http: HttpOptions,
    /// Most memory for packs, bytes.
    pub pack_memory: u64,
    /// How often changes of the folder of packs are looked for.
    pub poll: Duration,
    /// How the folder of packs is watched.
    pub reload: ReloadOptions,
    /// Longest wait for open requests at the end.
    pub exit_timeout: Duration,
}

/// Serves on `listener` until `shutdown` resolves, then answers what was accepted and returns.
///
/// # Errors
/// When a part cannot be built, or the listener fails.
pub async fn run(config: Config, listener: TcpListener, shutdown: impl Future<Output = ()>) -> Result<()> {
    let server = Server::build(config).await?;
    let address = listener.local_addr()?;
    tracing::info!(%address, tasks = server.catalog.published(), "ready");
    let watcher = tokio::spawn({
        let (reloader, poll) = (Arc::clone(&server.reloader), server.config.poll);
        async move { reloader.watch(poll).await }
    });
    let ended = server.serve(listener, shutdown).await;
    watcher.abort();
    server.stop().await?;
    tracing::info!("ended");
    ended
}

/// The parts of a running server.
pub struct Server {
    config: Config,
    state: AppState,
    engine: Engine,
    catalog: Arc<Catalog>,
    reloader: Arc<Reloader>,
    metrics: Arc<Metrics>,
}

impl Server {
    /// Builds every part: the backbone becomes resident, the tasks are listed.
    ///
    /// # Errors
    /// When a part cannot be built.
    pub async fn build(config: Config) -> Result<Self> {
        let metrics = Arc::new(Metrics::new()?);
        let engine = {
            let (config, metrics) = (config.clone(), Arc::clone(&metrics));
            tokio::task::spawn_blocking(move || start_engine(&config, metrics)).await??
        };
        let (folder, backbone) =
            ((config.adapters.clone(), Arc::clone(&config.reload.disk)), Arc::clone(engine.config()));
        let catalog = Catalog::new(folder, backbone, config.pack_memory, Arc::clone(&metrics));
        let catalog = Arc::new(catalog);
        let reloader = Arc::new(reloader(&config, &catalog, &engine, &metrics));
        reloader.list().await.with_context(|| format!("folder of packs {}", config.adapters.display()))?;
        let services = Services {
            engine: engine.clone(),
            catalog: Arc::clone(&catalog),
            reloader: Arc::clone(&reloader),
            metrics: Arc::clone(&metrics),
        };
        let state = AppState::new(services, config.http.clone());
        Ok(Self { config, state, engine, catalog, reloader, metrics })
    }

    /// The service, without a socket.
    pub fn app(&self) -> axum::Router {
        http::app(self.state.clone())
    }

    /// What publishes new versions.
    pub fn reloader(&self) -> &Arc<Reloader> {
        &self.reloader
    }

    /// What is counted.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Ends the engine once the rows already admitted are served.
    ///
    /// # Errors
    /// When the blocking pool is gone.
    pub async fn stop(&self) -> Result<()> {
        let engine = self.engine.clone();
        Ok(tokio::task::spawn_blocking(move || engine.stop()).await?)
    }

    async fn serve(&self, listener: TcpListener, shutdown: impl Future<Output = ()>) -> Result<()> {
        let (ending, ended) = tokio::sync::oneshot::channel::<()>();
        let service = axum::serve(listener, self.app()).with_graceful_shutdown(async {
            // A dropped sender ends the service just as well.
            let _ = ended.await;
        });
        let service = tokio::spawn(async move { service.await });
        shutdown.await;
        tracing::info!("ending: answering what was accepted");
        self.state.set_ready(false);
        let _ = ending.send(());
        match tokio::time::timeout(self.config.exit_timeout, service).await {
            Ok(ended) => Ok(ended??),
            Err(_) => {
                let seconds = self.config.exit_timeout.as_secs();
                tracing::warn!(seconds, "requests were still open at the exit timeout");
                Ok(())
            }
        }
    }
}

fn reloader(config: &Config, catalog: &Arc<Catalog>, engine: &Engine, metrics: &Arc<Metrics>) -> Reloader {
    let codes = Code::ALL.iter().map(|code| code.as_str()).collect();
    let (device, precision) = (config.runtime.device, engine.precision());
    let more = format!("{device} {precision} {}", engine.config().fingerprint);
    let options = (config.reload.clone(), arithmetic(&config.runtime.library, &more));
    Reloader::new(Arc::clone(catalog), engine.clone(), Arc::clone(metrics), codes, options)
}

fn start_engine(config: &Config, metrics: Arc<Metrics>) -> Result<Engine> {
    let folder = &config.backbone;
    let context = || format!("backbone {}", folder.display());
    let backbone = Arc::new(BackboneConfig::read(folder).with_context(context)?);
    let runtime = Runtime::open(&config.runtime)?;
    let store =
        Arc::new(WeightStore::open(&runtime, &backbone, folder, config.weights).with_context(context)?);
    let (name, device, precision) = (backbone.name.clone(), config.runtime.device, store.precision());
    let parts = Parts { runtime, store, config: backbone, metrics };
    let engine = Engine::start(parts, &config.engine)?;
    tracing::info!(backbone = name, %device, %precision, threads = config.runtime.threads, options = ?config.engine, "resident");
    Ok(engine)
}
