//! The composition root of serving: builds every part, runs the service, ends it in order.
//!
//! What a client may hold is limited here: `accept` takes connections in, `register` knows who goes when places run out,
//! `connection` serves one of them and closes it when it is late, by what `peer` says it is doing; `stream` and `visit`
//! tell it. `tls` says who is at the other end. `admin` serves health and metrics apart from all clients.

mod accept;
mod admin;
mod config;
mod connection;
mod limits;
mod linger;
mod peer;
mod register;
mod start;
mod stream;
mod tell;
mod tls;
mod visit;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::access::AccessLog;
use crate::catalog::Catalog;
use crate::engine::Engine;
use crate::grpc::{self, GrpcOptions};
use crate::http::{self, AppState, HttpOptions, Watch};
use crate::metrics::Metrics;
use crate::reload::Reloader;
use crate::service::{self, Service};
use crate::shelf::StoreOptions;
use crate::tenants::Tenants;

pub use config::Config;
pub use limits::{ConnectionLimits, raise_descriptors};
pub use tls::{ClientTls, Port, TlsOptions, clear_text_warning};

use accept::Acceptor;
use admin::Admin;
use start::{Logs, Started, catalog, reloader, start_engine, start_logs, tenants};
use tell::number;
use tls::{Gate, Live};

/// How often the file with the names of the tasks in memory is brought up to date.
const NOTED: Duration = Duration::from_secs(10);
/// Longest wait for the engine's threads once every connection is closed: no client waits for what they still run.
const STOPPING: Duration = Duration::from_secs(3);

/// Where the server listens, bound.
pub struct Listeners {
    /// For clients.
    pub clients: TcpListener,
    /// For health and metrics alone.
    pub admin: Option<std::net::TcpListener>,
}

/// Serves on `listener` until `shutdown` resolves, then answers what was accepted and returns.
///
/// # Errors
/// When a part cannot be built, or the listener fails.
pub async fn run(config: Config, listener: TcpListener, shutdown: impl Future<Output = ()>) -> Result<()> {
    run_with(config, Listeners { clients: listener, admin: None }, shutdown).await
}

/// As [`run`], with a listener for health and metrics.
///
/// # Errors
/// As [`run`].
pub async fn run_with(
    config: Config,
    listeners: Listeners,
    shutdown: impl Future<Output = ()>,
) -> Result<()> {
    let most = config.connections.most(limits::descriptors())?;
    // Read first: a wrong file is told before half a gigabyte is read.
    let tls = config.tls.clone().map(Live::open).transpose()?;
    let server = Server::build(config).await?;
    server.metrics.process.connections_limit.set(number(most as u64));
    if let Some(tls) = &tls {
        tls.announce(&server.metrics);
    }
    let Listeners { clients, admin } = listeners;
    let address = clients.local_addr()?;
    server.warn_of_clear_text(Port::Clients, address);
    if let Some(listener) = &admin {
        server.warn_of_clear_text(Port::Admin, listener.local_addr()?);
    }
    let admin = admin.map(|listener| server.start_admin(listener, tls.as_ref())).transpose()?;
    let has_tls = tls.is_some();
    tracing::info!(%address, tls = has_tls, tasks = server.catalog.published(), connections = most, "ready");
    let watchers = server.watch(tls.as_ref());
    let gate = tls.map(|tls| Gate::new(tls, Port::Clients));
    server.serve(clients, most, gate, shutdown).await;
    watchers.iter().for_each(JoinHandle::abort);
    match tokio::time::timeout(STOPPING, server.stop()).await {
        Ok(stopped) => stopped?,
        Err(_) => tracing::warn!("the engine was still at work at the end"),
    }
    drop(admin);
    server.close_logs().await?;
    tracing::info!("ended");
    Ok(())
}

/// The parts of a running server.
pub struct Server {
    config: Config,
    service: Service,
    engine: Engine,
    catalog: Arc<Catalog>,
    reloader: Arc<Reloader>,
    metrics: Arc<Metrics>,
    tenants: Arc<Tenants>,
    access: Option<AccessLog>,
    /// The gRPC door's.
    methods: axum::Router,
}

impl Server {
    /// Builds every part: the backbone becomes resident, the tasks are listed.
    ///
    /// # Errors
    /// When a part cannot be built.
    pub async fn build(config: Config) -> Result<Self> {
        let metrics = Arc::new(Metrics::with(config.task_labels)?);
        metrics.process.watch_spans(Arc::clone(&config.spans_lost));
        // First, so that a folder that cannot be written is told before half a gigabyte is read.
        let Logs { usage, audit, access } = {
            let (config, metrics) = (config.clone(), Arc::clone(&metrics));
            tokio::task::spawn_blocking(move || start_logs(&config, &metrics)).await??
        };
        let tenants = Arc::new(tenants(&config, &metrics)?.with_audit(audit.clone()));
        let Started { engine, base } = {
            let (config, metrics) = (config.clone(), Arc::clone(&metrics));
            tokio::task::spawn_blocking(move || start_engine(&config, metrics)).await??
        };
        let catalog = catalog(&config, base, &metrics)?.with_allowances(Arc::clone(&tenants) as _);
        let catalog = Arc::new(catalog);
        let reloader = reloader(&config, &catalog, &engine, &metrics).with_audit(audit.clone());
        let reloader = Arc::new(reloader);
        reloader.list().await.with_context(|| format!("folder of packs {}", config.adapters.display()))?;
        let parts = service::Parts {
            engine: engine.clone(),
            catalog: Arc::clone(&catalog),
            reloader: Arc::clone(&reloader),
            metrics: Arc::clone(&metrics),
            tenants: Arc::clone(&tenants),
            usage,
            audit,
        };
        let hidden = [config.backbone.as_path(), config.runtime.library.as_path()];
        let service = Service::new(parts, config.service.clone(), &hidden);
        let HttpOptions { payload_limit, body_timeout, .. } = config.http;
        let methods = grpc::routes(service.clone(), GrpcOptions { payload_limit, body_timeout })?;
        Ok(Self { config, service, engine, catalog, reloader, metrics, tenants, access, methods })
    }

    /// Every door, without a socket.
    pub fn app(&self) -> axum::Router {
        let state = self.state();
        let methods = http::guard(&state, self.methods.clone());
        let watch = Watch { sampler: self.config.sampler, log: self.access.clone() };
        http::watched(http::app(state).merge(grpc::speak(methods)), watch)
    }

    /// The service behind every door.
    pub fn service(&self) -> &Service {
        &self.service
    }

    fn state(&self) -> AppState {
        AppState::new(self.service.clone(), self.config.http.clone())
    }

    /// What publishes new versions.
    pub fn reloader(&self) -> &Arc<Reloader> {
        &self.reloader
    }

    /// What is counted.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// What runs batches.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Ends the engine once the rows already admitted are served.
    ///
    /// # Errors
    /// When the blocking pool is gone.
    pub async fn stop(&self) -> Result<()> {
        let engine = self.engine.clone();
        Ok(tokio::task::spawn_blocking(move || engine.stop()).await?)
    }

    /// Looks for changes of files until aborted.
    fn watch(&self, tls: Option<&Arc<Live>>) -> Vec<JoinHandle<()>> {
        let (reloader, poll) = (Arc::clone(&self.reloader), self.config.poll);
        let tenants = tokio::spawn(Arc::clone(&self.tenants).watch());
        let store = self.config.store.as_ref();
        let recall = store.map(|store| {
            let file = store.resident(&self.engine.config().fingerprint);
            let reloader = Arc::clone(&reloader);
            tokio::spawn(async move { reloader.recall(file, NOTED).await })
        });
        let store = store.cloned();
        let packs = async move {
            reloader.sweep_received().await;
            match store {
                Some(StoreOptions { follow, revalidate, .. }) => reloader.follow(follow, revalidate).await,
                None => reloader.watch(poll).await,
            }
        };
        let mut watchers = vec![tokio::spawn(packs), tenants];
        watchers.extend(recall);
        let tls = tls.map(|tls| Arc::clone(tls).watch(poll, Arc::clone(&self.metrics)));
        watchers.extend(tls.map(tokio::spawn));
        watchers
    }

    /// Writes what is left of the usage and audit logs.
    ///
    /// # Errors
    /// When the blocking pool is gone.
    pub async fn close_logs(&self) -> Result<()> {
        let (service, access) = (self.service.clone(), self.access.clone());
        let close = move || {
            access.iter().for_each(AccessLog::stop);
            service.usage().stop();
            service.audit().stop();
        };
        Ok(tokio::task::spawn_blocking(close).await?)
    }

    async fn serve(
        &self,
        listener: TcpListener,
        most: usize,
        gate: Option<Gate>,
        shutdown: impl Future<Output = ()>,
    ) {
        let metrics = Arc::clone(&self.metrics);
        let mut acceptor = Acceptor::new(self.app(), self.config.connections, most, gate, metrics);
        acceptor.accept(&listener, self.noticed(shutdown)).await;
        tracing::info!("ending: answering what was accepted");
        drop(listener);
        let limit = self.config.exit_timeout;
        if !acceptor.drain(Instant::now() + limit).await {
            tracing::warn!(seconds = limit.as_secs(), "requests were still open at the exit timeout");
        }
    }

    /// Resolves a while after `shutdown`. Meanwhile readiness says no, and balancers that ask for it turn away.
    async fn noticed(&self, shutdown: impl Future<Output = ()>) {
        shutdown.await;
        self.service.set_ready(false);
        let notice = self.config.exit_notice;
        if !notice.is_zero() {
            tracing::info!(seconds = notice.as_secs(), "ending: no longer ready, and still taking requests");
            tokio::time::sleep(notice).await;
        }
    }

    /// Warns where keys are in use and other machines' keys can be read on their way.
    fn warn_of_clear_text(&self, port: Port, address: SocketAddr) {
        let warning = clear_text_warning(port, address.ip(), self.config.tls.as_ref());
        if let Some(warning) = warning.filter(|_| !self.tenants.is_open()) {
            tracing::warn!("{warning}");
        }
    }

    fn start_admin(&self, listener: std::net::TcpListener, tls: Option<&Arc<Live>>) -> Result<Admin> {
        let app = http::admin(self.state());
        let is_plain = self.config.tls.as_ref().is_some_and(|tls| tls.admin_plain);
        let gate = tls.filter(|_| !is_plain).map(|tls| Gate::new(Arc::clone(tls), Port::Admin));
        Admin::start(app, self.config.connections, listener, gate, Arc::clone(&self.metrics))
    }
}
