//! How packs of a store are served.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStore;
use object_store::path::Path;

use super::cache::Cache;
use super::connect::Settings;
use super::digest::Digest;
use super::error::Error;
use super::objects::Objects;
use crate::metrics::Metrics;

/// How packs of a store are served.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Where the store is.
    pub at: StoreAt,
    /// Folder for copies on this disk.
    pub cache: PathBuf,
    /// Most bytes of copies.
    pub cache_bytes: u64,
    /// How often changes are asked for.
    pub follow: Duration,
    /// How long a known pointer is believed without having been looked at.
    pub revalidate: Duration,
}

/// Where a store is.
#[derive(Clone, Debug)]
pub enum StoreAt {
    /// At an address such as `s3://BUCKET/PREFIX`, with the settings of its cloud.
    Address(String, Settings),
    /// Open already, below a prefix.
    Open(Arc<dyn ObjectStore>, String),
}

impl StoreOptions {
    /// The file beside the copies with the names of the tasks whose packs are in memory. Servers that read other stores, or
    /// for backbones with another fingerprint, may share the folder: they have files of their own.
    pub fn resident(&self, fingerprint: &str) -> PathBuf {
        let store = match &self.at {
            StoreAt::Address(address, settings) => format!("{address}\n{}", settings.places()),
            StoreAt::Open(store, prefix) => format!("{store}\n{prefix}"),
        };
        let digest = Digest::of(format!("{store}\n{fingerprint}").as_bytes());
        let name: String = digest.as_str().chars().take(16).collect();
        self.cache.join(format!("resident-{name}"))
    }

    /// Opens the store and the folder of copies. Nothing is asked of the store yet. Waits for the disk.
    ///
    /// # Errors
    /// When the address is none, a setting is wrong, or the folder cannot be used.
    pub fn open(&self, metrics: &Arc<Metrics>) -> Result<Objects, Error> {
        let cache = Some(Cache::open(&self.cache, self.cache_bytes, Arc::clone(metrics))?);
        let metrics = Arc::clone(metrics);
        match &self.at {
            StoreAt::Address(address, settings) => Objects::open(address, settings, cache, metrics),
            StoreAt::Open(store, prefix) => {
                Ok(Objects::over(Arc::clone(store), Path::from(prefix.as_str()), cache, metrics))
            }
        }
    }
}
