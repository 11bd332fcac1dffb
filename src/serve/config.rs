//! What serving is started with.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::limits::ConnectionLimits;
use super::tls::TlsOptions;
use crate::access::AccessOptions;
use crate::audit::AuditOptions;
use crate::engine::EngineOptions;
use crate::http::HttpOptions;
use crate::metrics::TaskLabels;
use crate::reload::ReloadOptions;
use crate::runtime::{Device, RuntimeOptions, WeightOptions};
use crate::service::ServiceOptions;
use crate::shelf::StoreOptions;
use crate::traces::Sampler;
use crate::usage::UsageOptions;

/// Everything serving needs, checked once.
#[derive(Clone, Debug)]
pub struct Config {
    /// Folder of the backbone: `config.json`, `backbone.safetensors`.
    pub backbone: PathBuf,
    /// Folder of packs.
    pub adapters: PathBuf,
    /// Where packs come from, if not from the folder.
    pub store: Option<StoreOptions>,
    /// The runtime.
    pub runtime: RuntimeOptions,
    /// Devices beside the runtime's, with as many workers each.
    pub other_devices: Vec<Device>,
    /// How the backbone's weights are kept.
    pub weights: WeightOptions,
    /// The engine.
    pub engine: EngineOptions,
    /// What holds behind every door.
    pub service: ServiceOptions,
    /// The HTTP door.
    pub http: HttpOptions,
    /// Connections.
    pub connections: ConnectionLimits,
    /// TLS; none serves in clear.
    pub tls: Option<TlsOptions>,
    /// Most memory for packs, bytes.
    pub pack_memory: u64,
    /// File of tenants; without one everybody may do everything.
    pub tenants: Option<PathBuf>,
    /// How often changes of the folder of packs are looked for.
    pub poll: Duration,
    /// How the folder of packs is watched.
    pub reload: ReloadOptions,
    /// How use is counted and written.
    pub usage: UsageOptions,
    /// How events are written.
    pub audit: AuditOptions,
    /// Which requests are written.
    pub access: AccessOptions,
    /// Which requests are traced; none where nothing is.
    pub sampler: Option<Sampler>,
    /// Spans of traces that were lost, as their exporter counts.
    pub spans_lost: Arc<AtomicU64>,
    /// Which tasks have times of their own in metrics.
    pub task_labels: TaskLabels,
    /// How long requests are still taken at the end, while readiness says no.
    pub exit_notice: Duration,
    /// Longest wait for open requests at the end.
    pub exit_timeout: Duration,
}
