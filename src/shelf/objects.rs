//! Packs in an object store: immutable blobs, a small pointer object a task, a feed of changes, copies on this disk.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use object_store::ObjectStore;
use object_store::path::Path;

use super::bucket::{Asked, Bucket, Got, Revision};
use super::cache::Cache;
use super::connect::{Settings, connect, shown};
use super::digest::Digest;
use super::error::Error;
use super::feed::{Changes, Cursor, Feed};
use super::layout::Layout;
use super::pointer::{MAX_POINTER_BYTES, Pointer};
use crate::metrics::Metrics;
use crate::pack::TaskId;

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
    pub(super) cache: Option<Cache>,
    known: RwLock<HashMap<TaskId, Known>>,
    cursor: tokio::sync::Mutex<Cursor>,
    /// Fetches under way, so that those who want the same blob share one.
    pub(super) fetching: moka::future::Cache<Digest, ()>,
    pub(super) metrics: Arc<Metrics>,
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
}
