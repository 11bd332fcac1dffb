//! What was typed after `verify`.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use mimi_server::engine::{EngineOptions, bank_bytes, states_bytes};
use mimi_server::pack::TaskId;
use mimi_server::serve;
use mimi_server::shelf::{PackSource, StoreAt, StoreOptions, is_store, open_source};

use super::RuntimeArgs;
use super::clouds::settings;
use super::in_process::in_process;

/// Most disk for copies beyond those that are there, bytes: each is read once.
const CACHE_BYTES: u64 = 1 << 30;
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
    /// Folder for copies of a store's packs; it stays. The default is a temporary one.
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

    /// Makes a folder for copies that only this run uses, where one is needed and none was named.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn own_cache(&self) -> io::Result<Option<PathBuf>> {
        if self.pack_cache.is_some() || !is_store(&self.source) {
            return Ok(None);
        }
        let name = format!("mimi-server-verify-{:016x}", rand::random::<u64>());
        let folder = std::env::temp_dir().join(name);
        DirBuilder::new().mode(0o700).create(&folder)?;
        Ok(Some(folder))
    }

    fn store(&self, cache: Option<&Path>) -> io::Result<Option<StoreOptions>> {
        let Some(cache) = cache.or(self.pack_cache.as_deref()).filter(|_| is_store(&self.source)) else {
            return Ok(None);
        };
        Ok(Some(StoreOptions {
            at: StoreAt::Address(self.source.clone(), settings()),
            cache: cache.to_owned(),
            // A server may use a folder that was named: what is there has room.
            cache_bytes: CACHE_BYTES.saturating_add(bytes_in(cache)?),
            follow: PATIENCE,
            revalidate: PATIENCE,
        }))
    }

    /// A server of this process over the source, without a door. Copies lie in `cache`, or in the folder that was named.
    ///
    /// # Errors
    /// When the folder of copies cannot be listed.
    pub fn config(&self, cache: Option<&Path>) -> io::Result<serve::Config> {
        let engine = EngineOptions {
            max_batch: 1,
            max_wait: Duration::ZERO,
            queue_limit: 1,
            workers: 1,
            max_programs: 12,
            bank_memory: bank_bytes(self.runtime.device()),
            states_memory: states_bytes(self.runtime.device(), 0),
            ..EngineOptions::default()
        };
        let config = in_process(&self.runtime, self.source.clone().into(), engine, PATIENCE);
        Ok(serve::Config { store: self.store(cache)?, ..config })
    }
}

/// Bytes of all files in a folder, which need not be there.
fn bytes_in(folder: &Path) -> io::Result<u64> {
    let gone = |error: io::Error| if error.kind() == io::ErrorKind::NotFound { Ok(0) } else { Err(error) };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return gone(error),
    };
    let mut bytes = 0;
    for entry in entries {
        let entry = entry?;
        bytes += match entry.metadata() {
            Ok(found) if found.is_dir() => bytes_in(&entry.path())?,
            Ok(found) => found.len(),
            Err(error) => gone(error)?,
        };
    }
    Ok(bytes)
}
