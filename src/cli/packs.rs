//! Where packs come from.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use mimi_server::shelf::{StoreAt, StoreOptions, is_store};

use super::clouds::settings;

/// Name of the folder of copies inside the folder of state.
const CACHE_NAME: &str = "packs";

/// Options about where packs come from.
#[derive(Debug, Args)]
pub struct PacksArgs {
    /// Where packs come from: a folder, or a store: s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX, or
    /// https://HOST/PATH, which can only be read. Credentials come by each cloud's environment variables. Replaces
    /// --adapters.
    #[arg(long, env = "MIMI_PACKS", value_name = "SOURCE")]
    packs: Option<String>,
    /// Folder for copies of a store's packs; processes may share it. The default is packs in the folder of --state.
    #[arg(long, env = "MIMI_PACK_CACHE", value_name = "DIR")]
    pack_cache: Option<PathBuf>,
    /// Most disk for copies of a store's packs, MiB. Copies beyond it are removed, least recently used first.
    #[arg(long, env = "MIMI_PACK_CACHE_MIB", default_value_t = 4096, value_name = "MIB")]
    pack_cache_mib: u64,
    /// How often a store is asked which tasks have changed, milliseconds.
    #[arg(long, env = "MIMI_FOLLOW_MS", default_value_t = 1000, value_name = "MS")]
    follow_ms: u64,
    /// How long a task's pointer is believed that no change was told of, seconds.
    #[arg(long, env = "MIMI_REVALIDATE_SECS", default_value_t = 300, value_name = "SECONDS")]
    revalidate_secs: u64,
}

impl PacksArgs {
    /// The folder of packs, if it is one that was named.
    pub fn folder(&self) -> Option<PathBuf> {
        self.packs.as_ref().filter(|packs| !is_store(packs)).map(PathBuf::from)
    }

    /// The store of packs, if it is one. Copies lie in `state` unless a folder was named.
    pub fn store(&self, state: Option<PathBuf>) -> Option<StoreOptions> {
        let address = self.packs.as_ref().filter(|packs| is_store(packs))?;
        let own = || state.unwrap_or_else(|| std::env::temp_dir().join("mimi-server")).join(CACHE_NAME);
        Some(StoreOptions {
            at: StoreAt::Address(address.clone(), settings()),
            cache: self.pack_cache.clone().unwrap_or_else(own),
            cache_bytes: self.pack_cache_mib << 20,
            follow: Duration::from_millis(self.follow_ms.max(10)),
            revalidate: Duration::from_secs(self.revalidate_secs.max(1)),
        })
    }
}
