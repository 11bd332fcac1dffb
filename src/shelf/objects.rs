//! Packs in an object store: immutable blobs, a small pointer object a task, a feed of changes, copies on this disk.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use object_store::ObjectStore;
use object_store::path::Path;

use super::bucket::{Asked, Bucket, Got, Revision};
use super::cache::Cache;
use super::connect::{Settings, connect, shown};
use super::error::Error;
use super::feed::{Changes, Cursor, Feed};
use super::fetches::Fetches;
use super::layout::Layout;
use super::pointer::{MAX_POINTER_BYTES, Pointer};
use crate::metrics::Metrics;
use crate::pack::TaskId;

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
    pub(super) fetches: Fetches,
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
            fetches: Fetches::default(),
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
                let before = known.map(|known| known.revision);
                Ok(Some(self.learn(task, Known { pointer, revision }, before.as_ref())))
            }
        }
    }

    /// Takes in a pointer, unless a newer one came while it was read. Returns what is known now.
    fn learn(&self, task: &TaskId, read: Known, before: Option<&Revision>) -> Arc<Pointer> {
        let mut all = self.known.write().unwrap_or_else(PoisonError::into_inner);
        // Lower numbers than those known before are a store that was restored.
        let came = all.get(task).filter(|known| Some(&known.revision) != before);
        if let Some(newer) = came.filter(|known| known.pointer.seq >= read.pointer.seq) {
            return Arc::clone(&newer.pointer);
        }
        let pointer = Arc::clone(&read.pointer);
        all.insert(task.clone(), read);
        pointer
    }

    /// A task's pointer, read now and not kept: for whoever looks at all of them.
    pub(super) async fn read(&self, task: &TaskId) -> Result<Option<Pointer>, Error> {
        match self.bucket.get(Asked::Pointer, &self.layout.pointer(task), None, MAX_POINTER_BYTES).await? {
            Got::Object(bytes, _) => Ok(Some(Pointer::parse(task, &bytes)?)),
            Got::Absent | Got::Unchanged => Ok(None),
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
