//! The parts of a server, each started.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};

use super::config::Config;
use super::tell::tell;
use crate::access::AccessLog;
use crate::audit::Audit;
use crate::backbone::BackboneConfig;
use crate::catalog::Catalog;
use crate::engine::Engine;
use crate::metrics::Metrics;
use crate::pack::Base;
use crate::reload::{ReloadOptions, Reloader, arithmetic};
use crate::runtime::{Device, Expander, Resident, Runtime, RuntimeOptions};
use crate::tenants::{Status, Tenants};
use crate::usage::Usage;

pub(super) fn tenants(config: &Config, metrics: &Arc<Metrics>) -> Result<Tenants> {
    match &config.tenants {
        Some(path) => {
            let tenants = Tenants::read(path, Arc::clone(metrics)).context("file of tenants")?;
            let Status { tenants: count, keys, is_anonymous, .. } = tenants.status().unwrap_or_default();
            tracing::info!(
                tenants = count,
                keys,
                is_anonymous,
                "tenants are read: requests are served by key"
            );
            Ok(tenants)
        }
        None => {
            tracing::warn!("no tenants: whoever reaches the port may use every task");
            Ok(Tenants::open())
        }
    }
}

pub(super) fn catalog(config: &Config, base: Base, metrics: &Arc<Metrics>) -> Result<Catalog> {
    let disk = Arc::clone(&config.reload.disk);
    let store =
        config.store.as_ref().map(|store| store.open(metrics)).transpose().context("store of packs")?;
    // Copies of a store's packs take the folder's place: callers are told of neither.
    let root = config.store.as_ref().map_or(&config.adapters, |store| &store.cache).clone();
    let catalog = Catalog::new(root, disk, base, config.pack_memory, Arc::clone(metrics));
    Ok(catalog.with_store(store.map(Arc::new)))
}

pub(super) fn reloader(
    config: &Config,
    catalog: &Arc<Catalog>,
    engine: &Engine,
    metrics: &Arc<Metrics>,
) -> Reloader {
    let (devices, precision) = (Device::names(engine.devices()), engine.precision());
    let more = format!("{devices} {precision} {}", engine.config().fingerprint);
    let arithmetic = arithmetic(&config.runtime.library, &more);
    let (catalog, metrics) = (Arc::clone(catalog), Arc::clone(metrics));
    let notices = config.reload.notices && config.store.is_none();
    Reloader::new(
        catalog,
        engine.clone(),
        metrics,
        ReloadOptions { notices, ..config.reload.clone() },
        arithmetic,
    )
}

/// What is written down.
pub(super) struct Logs {
    pub(super) usage: Usage,
    pub(super) audit: Audit,
    pub(super) access: Option<AccessLog>,
}

pub(super) fn start_logs(config: &Config, metrics: &Arc<Metrics>) -> Result<Logs> {
    let named = |folder: &Option<PathBuf>| folder.as_ref().map_or(String::new(), |f| f.display().to_string());
    let usage = Usage::start(&config.usage, metrics);
    let usage = usage.with_context(|| format!("usage log {}", named(&config.usage.folder)))?;
    let audit = Audit::start(&config.audit, metrics);
    let audit = audit.with_context(|| format!("audit log {}", named(&config.audit.folder)))?;
    let access = AccessLog::start(&config.access, metrics);
    let access = access.with_context(|| format!("access log {}", named(&config.access.folder)))?;
    Ok(Logs { usage, audit, access })
}

/// What computes, and what packs are read for.
pub(super) struct Started {
    pub(super) engine: Engine,
    pub(super) base: Base,
}

pub(super) fn start_engine(config: &Config, metrics: Arc<Metrics>) -> Result<Started> {
    let folder = &config.backbone;
    let context = || format!("backbone {}", folder.display());
    let description = Arc::new(BackboneConfig::read(folder).with_context(context)?);
    // A library that cannot be loaded is no failure of the backbone.
    let runtime = Runtime::open(&config.runtime)?;
    let on = |runtime: &Runtime| {
        Resident::on(runtime, Arc::clone(&description), folder, config.weights).with_context(context)
    };
    let resident = on(&runtime)?;
    let other =
        |device: &Device| on(&Runtime::open(&RuntimeOptions { device: *device, ..config.runtime.clone() })?);
    let others = config.other_devices.iter().map(other).collect::<Result<Vec<_>>>()?;
    let base = Expander::base(&resident)?;
    let engine = Engine::start_on((resident, others), Arc::clone(&metrics), &config.engine)?;
    tell(&metrics, &engine, (&config.engine, &config.service));
    let (backbone, devices) = (&engine.config().name, Device::names(engine.devices()));
    let precision = engine.precision();
    tracing::info!(backbone, devices, %precision, threads = config.runtime.threads, options = ?config.engine, "resident");
    Ok(Started { engine, base })
}
