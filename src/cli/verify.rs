//! What was typed after `verify`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use mimi_server::engine::{EngineOptions, bank_bytes};
use mimi_server::http::HttpOptions;
use mimi_server::pack::TaskId;
use mimi_server::reload::ReloadOptions;
use mimi_server::serve;
use mimi_server::service::ServiceOptions;
use mimi_server::shelf::{PackSource, StoreAt, StoreOptions, is_store, open_source};

use super::clouds::settings;
use super::{RuntimeArgs, cores};

/// Most disk for copies, bytes: each is read once.
const CACHE_BYTES: u64 = 1 << 30;
/// Most memory for packs, bytes.
const PACK_MEMORY: u64 = 256 << 20;
/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(600);

/// Options of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    pub runtime: RuntimeArgs,
    /// A folder of packs, or a store: s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX.
    #[arg(long = "in", env = "MIMI_PACKS", value_name = "SOURCE")]
    source: String,
    /// Only these tasks, separated by commas. The default is all.
    #[arg(long, value_delimiter = ',')]
    pub task: Vec<TaskId>,
    /// Only the version of each task that answers.
    #[arg(long)]
    pub stable_only: bool,
    /// Folder for copies of a store's packs while they are verified.
    #[arg(long, env = "MIMI_PACK_CACHE", value_name = "DIR")]
    pack_cache: Option<PathBuf>,
}

impl VerifyArgs {
    /// Opens the source to list it.
    ///
    /// # Errors
    /// When the address is none.
    pub fn open(&self) -> anyhow::Result<std::sync::Arc<dyn PackSource>> {
        Ok(open_source(&self.source, &settings(), None)?)
    }

    fn store(&self) -> Option<StoreOptions> {
        let own = || std::env::temp_dir().join(format!("mimi-server-verify-{}", std::process::id()));
        is_store(&self.source).then(|| StoreOptions {
            at: StoreAt::Address(self.source.clone(), settings()),
            cache: self.pack_cache.clone().unwrap_or_else(own),
            cache_bytes: CACHE_BYTES,
            follow: PATIENCE,
            revalidate: PATIENCE,
        })
    }

    /// A server of this process over the source, without a door.
    pub fn config(&self) -> serve::Config {
        let runtime = self.runtime.options_for(1);
        serve::Config {
            backbone: self.runtime.backbone_folder(),
            adapters: self.source.clone().into(),
            store: self.store(),
            other_devices: Vec::new(),
            weights: self.runtime.weights(),
            engine: EngineOptions {
                max_batch: 1,
                max_wait: Duration::ZERO,
                queue_limit: 1,
                workers: 1,
                max_programs: 12,
                prefix_memory: 0,
                bank_memory: bank_bytes(runtime.device),
            },
            runtime,
            service: ServiceOptions {
                max_images: 1,
                max_tasks: 1,
                timeout: PATIENCE,
                bytes_in_flight: u64::MAX >> 1,
                decoders: cores(),
                keeps_prefixes: false,
                image: Default::default(),
            },
            http: HttpOptions {
                payload_limit: 0,
                body_timeout: PATIENCE,
                identity: None,
                publishers: Vec::new().into(),
                tells_load: false,
                origins: Vec::new().into(),
            },
            connections: serve::ConnectionLimits::default(),
            tenants: None,
            tls: None,
            pack_memory: PACK_MEMORY,
            poll: PATIENCE,
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
}
