//! Packs in an object store: immutable blobs, a small pointer object a task, a feed of changes, copies on this disk.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use object_store::ObjectStore;
use object_store::path::Path;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt;

use super::blocking::blocking;
use super::bucket::{Asked, Bucket, Got, Revision, When};
use super::cache::Cache;
use super::connect::{Settings, connect, shown};
use super::digest::Digest;
use super::edit::{Done, Edit};
use super::error::Error;
use super::feed::{Changes, Cursor, Feed};
use super::layout::Layout;
use super::patience::Patience;
use super::place::Place;
use super::pointer::{MAX_POINTER_BYTES, Pointer, Stored};
use super::source::{Naming, Published};
use crate::metrics::Metrics;
use crate::pack::TaskId;

/// How often a copy that goes while it is fetched is fetched again.
const FETCHES: usize = 3;
/// How long a finished fetch is remembered, so that those who waited for it find it done.
const FETCHED: Duration = Duration::from_secs(1);

/// A pointer as it was read last.
#[derive(Clone, Debug)]
struct Known {
    pointer: Arc<Pointer>,
    revision: Revision,
}

/// A store of packs.
pub struct Objects {
    /// What people call it.
    name: String,
    pub(super) bucket: Bucket,
    pub(super) layout: Layout,
    pub(super) feed: Feed,
    cache: Option<Cache>,
    known: RwLock<HashMap<TaskId, Known>>,
    cursor: tokio::sync::Mutex<Cursor>,
    /// Fetches under way, so that those who want the same blob share one.
    fetching: moka::future::Cache<Digest, ()>,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Objects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Objects({})", self.name)
    }
}

impl Objects {
    /// The store at an address, with copies on this disk where somebody reads packs.
    ///
    /// # Errors
    /// [`Error::Address`].
    pub fn open(
        address: &str,
        settings: &Settings,
        cache: Option<Cache>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, Error> {
        let opened = connect(address, settings)?;
        let bucket = Bucket::new(opened.store, Arc::clone(&metrics), opened.is_writable);
        Ok(Self::new((shown(address), bucket), Layout::new(opened.prefix), cache, metrics))
    }

    /// As [`Objects::open`], over a store that is open.
    pub fn over(
        store: Arc<dyn ObjectStore>,
        prefix: Path,
        cache: Option<Cache>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let bucket = Bucket::new(Arc::clone(&store), Arc::clone(&metrics), true);
        Self::new((store.to_string(), bucket), Layout::new(prefix), cache, metrics)
    }

    fn new(
        (name, bucket): (String, Bucket),
        layout: Layout,
        cache: Option<Cache>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            name,
            feed: Feed::new(bucket.clone(), layout.clone()),
            bucket,
            layout,
            cache,
            known: RwLock::default(),
            cursor: tokio::sync::Mutex::default(),
            fetching: moka::future::Cache::builder().max_capacity(1024).time_to_live(FETCHED).build(),
            metrics,
        }
    }

    /// What people call it; no credentials are in it.
    pub fn called(&self) -> &str {
        &self.name
    }

    /// Why it does not answer, if it does not.
    pub fn away(&self) -> Option<String> {
        self.bucket.away()
    }

    /// A task's pointer as it was read last.
    pub fn known(&self, task: &TaskId) -> Option<Arc<Pointer>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(task).map(|known| Arc::clone(&known.pointer))
    }

    /// A task's pointer, read now; none where the store has none. What was known before stays known then.
    ///
    /// # Errors
    /// When the store fails, or the pointer is not well-formed.
    pub async fn refresh(&self, task: &TaskId) -> Result<Option<Arc<Pointer>>, Error> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).get(task).cloned();
        let path = self.layout.pointer(task);
        let revision = known.as_ref().map(|known| &known.revision);
        match self.bucket.get(Asked::Pointer, &path, revision, MAX_POINTER_BYTES).await? {
            Got::Unchanged => Ok(known.map(|known| known.pointer)),
            Got::Absent => Ok(None),
            Got::Object(bytes, revision) => {
                let pointer = Arc::new(Pointer::parse(task, &bytes)?);
                let known = Known { pointer: Arc::clone(&pointer), revision };
                self.known.write().unwrap_or_else(PoisonError::into_inner).insert(task.clone(), known);
                Ok(Some(pointer))
            }
        }
    }

    /// What has changed since the last call.
    ///
    /// # Errors
    /// When the store fails, or the feed is not well-formed.
    pub async fn changed(&self) -> Result<Changes, Error> {
        let mut cursor = self.cursor.lock().await;
        let changes = self.feed.since(&mut cursor).await?;
        self.metrics.store.seq.set(i64::try_from(cursor.seq()).unwrap_or(i64::MAX));
        Ok(changes)
    }

    /// Where a version of a known pointer can be read on this disk, fetched if need be.
    ///
    /// # Errors
    /// When there is no such version, the store or the disk fails, or the blob is not what its pointer says.
    pub async fn place(&self, task: &TaskId, version: u64) -> Result<Place, Error> {
        let pointer = self.known(task).ok_or_else(|| Error::NoTask(task.clone()))?;
        let stored = pointer.versions.get(&version);
        let stored = stored.ok_or_else(|| Error::NoVersion { task: task.clone(), version })?;
        for fetches in 0..=FETCHES {
            if let Some(place) = self.copy(&stored.digest).await? {
                let outcome = if fetches == 0 { "hit" } else { "miss" };
                self.metrics.store.cache.with_label_values(&[outcome]).inc();
                return Ok(place);
            }
            self.fetching.invalidate(&stored.digest).await;
            let fetched = self.fetching.try_get_with(stored.digest.clone(), self.fetch(stored));
            fetched.await.map_err(Error::Shared)?;
        }
        Err(Error::Absent(format!(
            "copy of {}: it is removed as soon as it comes; the cache is too small",
            stored.digest
        )))
    }

    /// Removes the copy of a version, whose bytes proved wrong.
    pub async fn discard(&self, task: &TaskId, version: u64) {
        let stored = self.known(task).and_then(|pointer| pointer.versions.get(&version).cloned());
        let (Some(stored), Some(cache)) = (stored, self.cache.clone()) else { return };
        tracing::warn!(%task, version, digest = %stored.digest, "the copy on this disk is broken: it is fetched again");
        // Best effort: a copy that stays is refused again.
        let _ = tokio::task::spawn_blocking(move || cache.discard(&stored.digest)).await;
    }

    async fn copy(&self, digest: &Digest) -> Result<Option<Place>, Error> {
        let (cache, digest) = (self.cache()?, digest.clone());
        blocking(move || cache.get(&digest)).await
    }

    pub(super) fn cache(&self) -> Result<Cache, Error> {
        self.cache.clone().ok_or_else(|| Error::Absent("folder for copies of packs".into()))
    }

    /// Fetches a blob, verifies its bytes and unpacks it into a copy.
    async fn fetch(&self, stored: &Stored) -> Result<(), Error> {
        let (cache, digest) = (self.cache()?, stored.digest.clone());
        let (file, path) = {
            let (cache, digest) = (cache.clone(), digest.clone());
            blocking(move || cache.coming(&digest)).await?
        };
        let mut file = tokio::fs::File::from_std(file);
        let written = self.download(stored, &mut file).await;
        let inserted = match written {
            Ok(()) => {
                let mut file = file.into_std().await;
                blocking(move || {
                    use std::io::Seek;
                    file.rewind().map_err(Error::io("coming"))?;
                    cache.insert(&digest, &mut file).map(drop)
                })
                .await
            }
            Err(error) => Err(error),
        };
        // Best effort: what is left is swept at a later start.
        let _ = tokio::fs::remove_file(&path).await;
        inserted
    }

    async fn download(&self, stored: &Stored, file: &mut tokio::fs::File) -> Result<(), Error> {
        let Stored { digest, bytes, .. } = stored;
        let path = self.layout.blob(digest);
        let parts = match self.bucket.stream(&path, *bytes).await? {
            Some(parts) => Some(parts),
            // `gc` may have taken it out while a publisher named it again; it is in the trash then.
            None => self.bucket.stream(&self.layout.trash(digest), *bytes).await?,
        };
        let mut parts = parts.ok_or_else(|| Error::Absent(path.to_string()))?;
        let (mut hash, mut came) = (Sha256::new(), 0u64);
        while let Some(part) = parts.next().await {
            let part = part?;
            hash.update(&part);
            came += part.len() as u64;
            file.write_all(&part).await.map_err(Error::io("coming"))?;
        }
        file.flush().await.map_err(Error::io("coming"))?;
        let found = Digest::finished(hash);
        if came != *bytes {
            return Err(Error::OtherSize { what: path.to_string(), expected: *bytes, found: came });
        }
        if found != *digest {
            let (expected, found) = (digest.to_string(), found.to_string());
            return Err(Error::OtherBytes { what: path.to_string(), expected, found });
        }
        Ok(())
    }
}

impl Objects {
    /// Puts a blob that has the digest, and has its age begin again: `gc` leaves young ones alone.
    async fn put(&self, digest: &Digest, blob: Bytes) -> Result<(), Error> {
        let path = self.layout.blob(digest);
        if !self.bucket.put(&path, blob.clone(), When::Absent).await? {
            self.bucket.put(&path, blob, When::Always).await?;
        }
        Ok(())
    }

    /// Adds a version: its blob, then the pointer, then the feed. A crash at any step leaves a blob that nothing names, or
    /// a change that is followed late.
    ///
    /// # Errors
    /// When the store fails, or the version breaks a rule of pointers.
    pub(super) async fn add(&self, task: &TaskId, blob: Bytes, naming: Naming) -> Result<Published, Error> {
        let Naming { version, label } = naming;
        let digest = Digest::of(&blob);
        let stored = Stored { digest: digest.clone(), bytes: blob.len() as u64, other: Default::default() };
        self.put(&digest, blob.clone()).await?;
        let done = self.change(task, Edit::Add { version, stored, label }).await?;
        // Named now: whoever removed it before it was named did not know.
        if self.bucket.head(&self.layout.blob(&digest)).await?.is_none() {
            self.put(&digest, blob).await?;
        }
        Ok(Published { done, digest })
    }

    /// Changes a pointer by compare-and-swap, and tells the feed.
    ///
    /// # Errors
    /// When the store fails, or the change breaks a rule of pointers.
    pub(super) async fn change(&self, task: &TaskId, mut edit: Edit) -> Result<Done, Error> {
        let (path, mut patience) = (self.layout.pointer(task), Patience::new("the pointer"));
        let done = loop {
            let (mut pointer, when) =
                match self.bucket.get(Asked::Pointer, &path, None, MAX_POINTER_BYTES).await? {
                    Got::Object(bytes, revision) => {
                        (Pointer::parse(task, &bytes)?, When::Unchanged(revision))
                    }
                    Got::Absent | Got::Unchanged => (Pointer::new(task), When::Absent),
                };
            let done = edit.apply(task, &mut pointer)?;
            // A write whose answer was lost is tried again: "the one before" must mean the same then.
            edit = edit.settled(done);
            let is_written = || async { self.bucket.put(&path, pointer.bytes(task)?.into(), when).await };
            if !done.is_change() || is_written().await? {
                break done;
            }
            patience.wait().await?;
        };
        self.feed.append(task).await?;
        Ok(done)
    }
}
