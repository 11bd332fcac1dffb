//! Packs from object stores, and publishing: whole at every step, bounded, refused by name.

mod addressed;
mod archives;
mod collecting;
mod copies;
mod faulty;
mod feeds;
mod folder_kills;
mod kills;
mod lasting;
mod pointers;
mod races;
mod recalling;
mod s3;
mod serving;
mod streamed;
mod sweeping;
mod trained;
mod untouched;
mod verifying;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mimi_server::files::System;
use mimi_server::metrics::Metrics;
use mimi_server::pack::{self, TaskId};
use mimi_server::serve;
use mimi_server::shelf::{Cache, Naming, Objects, PackSource, Published, StoreAt, StoreOptions};
use object_store::ObjectStore;
use object_store::memory::InMemory;

use crate::server::World;

pub fn task(name: &str) -> TaskId {
    name.parse().unwrap()
}

/// A pack's archive made of other bytes than any other's: nothing here looks inside.
pub fn archive(seed: u64) -> Bytes {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(pack::CONFIG_FILE), format!("{{\"seed\":{seed}}}")).unwrap();
    std::fs::write(folder.path().join(pack::WEIGHTS_FILE), seed.to_le_bytes()).unwrap();
    pack::archive(&System, folder.path()).unwrap().into()
}

/// An archive of so many bytes.
pub fn large_archive(bytes: usize) -> Bytes {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(pack::CONFIG_FILE), "{}").unwrap();
    std::fs::write(folder.path().join(pack::WEIGHTS_FILE), vec![1; bytes]).unwrap();
    pack::archive(&System, folder.path()).unwrap().into()
}

/// A store's packs without a copy on disk.
pub fn objects(store: &Arc<dyn ObjectStore>) -> Objects {
    Objects::over(Arc::clone(store), "packs".into(), None, Arc::new(Metrics::new().unwrap()))
}

/// The same with copies.
pub fn reading(store: &Arc<dyn ObjectStore>, cache: &Path) -> Objects {
    let metrics = Arc::new(Metrics::new().unwrap());
    let cache = Cache::open(cache, 1 << 30, Arc::clone(&metrics)).unwrap();
    Objects::over(Arc::clone(store), "packs".into(), Some(cache), metrics)
}

pub fn stable(version: impl Into<Option<u64>>) -> Naming {
    Naming { version: version.into(), label: Some("stable".into()) }
}

/// A tiny backbone whose packs come from a store in memory.
pub struct Shop {
    pub world: World,
    pub store: Arc<dyn ObjectStore>,
    pub cache: tempfile::TempDir,
}

impl Shop {
    pub fn new() -> Self {
        Self::over(Arc::new(InMemory::new()))
    }

    pub fn over(store: Arc<dyn ObjectStore>) -> Self {
        Self { world: World::new(), store, cache: tempfile::tempdir().unwrap() }
    }

    /// A pack that prefers a class, as an archive.
    pub fn archive(&self, seed: u64, favourite: usize) -> Bytes {
        let folder: PathBuf = self.world.publish("aside", &self.world.contents(seed, favourite));
        pack::archive(&System, &folder).unwrap().into()
    }

    pub async fn publish(&self, name: &str, seed: u64, favourite: usize) -> Published {
        let archive = self.archive(seed, favourite);
        objects(&self.store).publish(&task(name), archive.into(), stable(None)).await.unwrap()
    }

    pub fn config(&self) -> serve::Config {
        let store = StoreOptions {
            at: StoreAt::Open(Arc::clone(&self.store), "packs".into()),
            cache: self.cache.path().to_owned(),
            cache_bytes: 1 << 30,
            follow: Duration::from_millis(20),
            revalidate: Duration::from_secs(300),
        };
        serve::Config { store: Some(store), ..self.world.config() }
    }
}
