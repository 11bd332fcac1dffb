//! A server of this process that no client reaches: what commands answer by.

use std::path::PathBuf;
use std::time::Duration;

use mimi_server::engine::EngineOptions;
use mimi_server::http::HttpOptions;
use mimi_server::reload::ReloadOptions;
use mimi_server::serve;
use mimi_server::service::ServiceOptions;

use super::{RuntimeArgs, cores};

/// Most memory for packs, bytes.
const PACK_MEMORY: u64 = 256 << 20;

/// A configuration without doors, tenants, logs and limits for clients: one image at a time under one task, packs of a
/// folder. The command changes what it needs otherwise.
pub(super) fn in_process(
    runtime: &RuntimeArgs,
    adapters: PathBuf,
    engine: EngineOptions,
    patience: Duration,
) -> serve::Config {
    serve::Config {
        backbone: runtime.backbone_folder(),
        adapters,
        store: None,
        runtime: runtime.options_for(engine.workers),
        other_devices: Vec::new(),
        weights: runtime.weights(),
        engine,
        service: ServiceOptions {
            max_images: 1,
            max_tasks: 1,
            timeout: patience,
            bytes_in_flight: u64::MAX >> 1,
            decoders: cores(),
            keeps_prefixes: false,
            tells_load: false,
            image: Default::default(),
        },
        http: HttpOptions {
            payload_limit: 0,
            body_timeout: patience,
            identity: None,
            publishers: Vec::new().into(),
            origins: Vec::new().into(),
        },
        connections: serve::ConnectionLimits::default(),
        tenants: None,
        tls: None,
        pack_memory: PACK_MEMORY,
        poll: patience,
        reload: ReloadOptions { notices: false, ..ReloadOptions::default() },
        usage: Default::default(),
        audit: Default::default(),
        task_labels: Default::default(),
        access: Default::default(),
        sampler: None,
        spans_lost: Default::default(),
        exit_notice: Duration::ZERO,
        exit_timeout: Duration::ZERO,
    }
}
