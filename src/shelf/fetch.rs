//! From a version of a known pointer to a verified copy on this disk.

use std::time::Duration;

use futures::StreamExt;

use super::archive::{Archive, Incoming};
use super::blocking::blocking;
use super::bucket::Bucket;
use super::cache::Cache;
use super::digest::Digest;
use super::error::Error;
use super::layout::Layout;
use super::objects::Objects;
use super::place::Place;
use super::pointer::Stored;
use crate::pack::TaskId;

/// Longest time that a fetch takes at all.
const LONGEST: Duration = Duration::from_secs(30);
/// Bytes for which it has a second more.
const A_SECOND: u64 = 1 << 20;
/// How often a copy that goes while it is fetched is fetched again.
const FETCHES: usize = 3;

impl Objects {
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
            let coming = self.coming(stored)?;
            self.fetches.wait(&stored.digest, coming.fetch()).await?;
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

    fn coming(&self, stored: &Stored) -> Result<Coming, Error> {
        let (bucket, layout) = (self.bucket.clone(), self.layout.clone());
        Ok(Coming { bucket, layout, cache: self.cache()?, stored: stored.clone() })
    }
}

/// A blob that is to come: all that its fetch needs, since that may outlast who asked.
struct Coming {
    bucket: Bucket,
    layout: Layout,
    cache: Cache,
    stored: Stored,
}

impl Coming {
    /// Fetches a blob, verifies its bytes and unpacks it into a copy.
    async fn fetch(self) -> Result<(), Error> {
        let most = LONGEST + Duration::from_secs(self.stored.bytes / A_SECOND);
        let what = self.layout.blob(&self.stored.digest).to_string();
        let late = |_| Error::Store { what, reason: format!("it did not come within {} s", most.as_secs()) };
        tokio::time::timeout(most, self.fetch_now()).await.map_err(late)?
    }

    async fn fetch_now(self) -> Result<(), Error> {
        let (cache, digest) = (self.cache.clone(), self.stored.digest.clone());
        let begin = move || {
            // Another fetch may have ended since somebody looked.
            if cache.get(&digest)?.is_some() {
                return Ok(None);
            }
            cache.incoming().map(Some)
        };
        let Some(incoming) = blocking(begin).await? else { return Ok(()) };
        let archive = self.download(incoming).await?;
        blocking(move || self.cache.insert(&archive).map(drop)).await
    }

    /// Has the blob come, and verifies its bytes.
    async fn download(&self, mut incoming: Incoming) -> Result<Archive, Error> {
        let Stored { digest, bytes, .. } = &self.stored;
        let path = self.layout.blob(digest);
        let parts = match self.bucket.stream(&path, *bytes).await? {
            Some(parts) => Some(parts),
            // `gc` may have taken it out while a publisher named it again; it is in the trash then.
            None => self.bucket.stream(&self.layout.trash(digest), *bytes).await?,
        };
        let mut parts = parts.ok_or_else(|| Error::Absent(path.to_string()))?;
        while let Some(part) = parts.next().await {
            incoming.write(&part?).await?;
        }
        let archive = incoming.finish().await?;
        if archive.bytes() != *bytes {
            let (expected, found) = (*bytes, archive.bytes());
            return Err(Error::OtherSize { what: path.to_string(), expected, found });
        }
        if archive.digest() != digest {
            let (expected, found) = (digest.to_string(), archive.digest().to_string());
            return Err(Error::OtherBytes { what: path.to_string(), expected, found });
        }
        Ok(archive)
    }
}
