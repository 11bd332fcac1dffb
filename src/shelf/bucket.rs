//! Requests to an object store, bounded, counted and timed.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    GetOptions, GetResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    PutPayload, UpdateVersion,
};

use super::error::Error;
use crate::metrics::Metrics;

/// Longest time for a small object, with all repetitions: a store may give it byte by byte.
const LONGEST: Duration = Duration::from_secs(20);

/// State of an object, by which a change of it is conditional: the whole of what the store says, since S3 and Azure want
/// the tag and Google wants the generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision(UpdateVersion);

impl Revision {
    fn of(meta: &ObjectMeta) -> Self {
        Self(UpdateVersion { e_tag: meta.e_tag.clone(), version: meta.version.clone() })
    }
}

/// What a request for an object found.
#[derive(Debug)]
pub(super) enum Got {
    /// It is as it was.
    Unchanged,
    /// There is none.
    Absent,
    /// It is this.
    Object(Bytes, Revision),
}

/// What is asked for, as metrics name it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked {
    Pointer,
    Pack,
    Changes,
}

impl Asked {
    fn name(self) -> &'static str {
        match self {
            Self::Pointer => "pointer",
            Self::Pack => "pack",
            Self::Changes => "changes",
        }
    }
}

/// When an object is written.
#[derive(Clone, Debug)]
pub(super) enum When {
    Always,
    /// Only where there is none.
    Absent,
    /// Only where it is as it was read.
    Unchanged(Revision),
}

/// A store with what is counted of it.
#[derive(Clone)]
pub(super) struct Bucket {
    store: Arc<dyn ObjectStore>,
    metrics: Arc<Metrics>,
    is_writable: bool,
    /// Why the last request failed, if it did.
    away: Arc<RwLock<Option<String>>>,
}

impl std::fmt::Debug for Bucket {
    /// Nothing of the store: it may hold credentials.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bucket")
    }
}

impl Bucket {
    pub(super) fn new(store: Arc<dyn ObjectStore>, metrics: Arc<Metrics>, is_writable: bool) -> Self {
        Self { store, metrics, is_writable, away: Arc::default() }
    }

    /// Why the store does not answer, if it does not.
    pub(super) fn away(&self) -> Option<String> {
        self.away.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// An object of at most `limit` bytes, unless it is as `known` says.
    pub(super) async fn get(
        &self,
        asked: Asked,
        path: &Path,
        known: Option<&Revision>,
        limit: u64,
    ) -> Result<Got, Error> {
        let started = Instant::now();
        let got = tokio::time::timeout(LONGEST, self.get_now(path, known, limit)).await;
        let late = |_| {
            let reason = format!("it did not come within {} s", LONGEST.as_secs());
            Err(Error::Store { what: path.to_string(), reason })
        };
        let got = got.unwrap_or_else(late);
        let outcome = match &got {
            Ok(Got::Unchanged) => Ok("unchanged"),
            Ok(Got::Absent) => Ok("absent"),
            Ok(Got::Object(..)) => Ok("ok"),
            Err(error) => Err(error),
        };
        self.note(asked, started, outcome);
        got
    }

    async fn get_now(&self, path: &Path, known: Option<&Revision>, limit: u64) -> Result<Got, Error> {
        let tag = known.and_then(|known| known.0.e_tag.clone());
        let options = GetOptions { if_none_match: tag, ..GetOptions::default() };
        let found = match self.store.get_opts(path, options).await {
            Ok(found) => found,
            Err(object_store::Error::NotModified { .. }) => return Ok(Got::Unchanged),
            Err(error) if is_absent(&error) => return Ok(Got::Absent),
            Err(error) => return Err(failed(path, error)),
        };
        let revision = Revision::of(&found.meta);
        let mut bytes = Vec::new();
        let mut coming = within(path, found, limit)?;
        while let Some(part) = coming.next().await {
            let part = part?;
            bytes.extend_from_slice(&part);
        }
        Ok(Got::Object(bytes.into(), revision))
    }

    /// The bytes of an object as they come, at most `limit`; none where there is no such object.
    pub(super) async fn stream(
        &self,
        path: &Path,
        limit: u64,
    ) -> Result<Option<BoxStream<'static, Result<Bytes, Error>>>, Error> {
        let started = Instant::now();
        let found = match self.store.get_opts(path, GetOptions::default()).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(failed(path, error)),
        };
        let outcome = found.as_ref().map(|found| if found.is_some() { "ok" } else { "absent" });
        self.note(Asked::Pack, started, outcome);
        found?.map(|found| within(path, found, limit)).transpose()
    }

    fn check_writable(&self) -> Result<(), Error> {
        if self.is_writable { Ok(()) } else { Err(Error::ReadOnly("a plain HTTP source")) }
    }

    /// Writes an object. Returns whether the condition held.
    pub(super) async fn put(&self, path: &Path, bytes: Bytes, when: When) -> Result<bool, Error> {
        self.check_writable()?;
        let mode = match when {
            When::Always => PutMode::Overwrite,
            When::Absent => PutMode::Create,
            When::Unchanged(Revision(version)) => PutMode::Update(version),
        };
        let written = self.store.put_opts(path, PutPayload::from(bytes), PutOptions::from(mode)).await;
        match written {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                Ok(false)
            }
            Err(error) if is_absent(&error) => Ok(false),
            Err(error) => Err(failed(path, error)),
        }
    }

    /// Begins to write an object in parts. It appears when the last one has come.
    pub(super) async fn upload(&self, path: &Path) -> Result<Box<dyn MultipartUpload>, Error> {
        self.check_writable()?;
        self.store.put_multipart(path).await.map_err(|error| failed(path, error))
    }

    /// What the store says of an object.
    pub(super) async fn head(&self, path: &Path) -> Result<Option<ObjectMeta>, Error> {
        match self.store.head(path).await {
            Ok(meta) => Ok(Some(meta)),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(failed(path, error)),
        }
    }

    /// Copies an object over whatever is there.
    pub(super) async fn copy(&self, from: &Path, to: &Path) -> Result<(), Error> {
        self.store.copy(from, to).await.map_err(|error| failed(from, error))
    }

    /// Removes an object; one that is not there is removed.
    pub(super) async fn delete(&self, path: &Path) -> Result<(), Error> {
        match self.store.delete(path).await {
            Ok(()) => Ok(()),
            Err(error) if is_absent(&error) => Ok(()),
            Err(error) => Err(failed(path, error)),
        }
    }

    /// Every object below a folder. For operators: serving never lists.
    pub(super) fn list(&self, folder: &Path) -> BoxStream<'static, Result<ObjectMeta, Error>> {
        let what = folder.clone();
        self.store.list(Some(folder)).map(move |meta| meta.map_err(|error| failed(&what, error))).boxed()
    }

    fn note(&self, asked: Asked, started: Instant, outcome: Result<&str, &Error>) {
        let store = &self.metrics.store;
        let word = outcome.unwrap_or("failed");
        store.requests.with_label_values(&[asked.name(), word]).inc();
        store.seconds.with_label_values(&[asked.name()]).observe(started.elapsed().as_secs_f64());
        let reason = outcome.err().filter(|error| error.is_passing()).map(Error::to_string);
        if self.away.read().unwrap_or_else(PoisonError::into_inner).is_some() == reason.is_some() {
            return;
        }
        store.away.set(i64::from(reason.is_some()));
        match &reason {
            Some(reason) => {
                tracing::error!(%reason, "the store of packs does not answer: what is here is served")
            }
            None => tracing::info!("the store of packs answers again"),
        }
        *self.away.write().unwrap_or_else(PoisonError::into_inner) = reason;
    }
}

/// The bytes of what was found; an error instead of more than `limit`.
fn within(
    path: &Path,
    found: GetResult,
    limit: u64,
) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
    let what = path.clone();
    let too_large = move |bytes: u64| Error::TooLarge { what: what.to_string(), bytes, limit };
    if found.meta.size > limit {
        return Err(too_large(found.meta.size));
    }
    let (what, mut came) = (path.clone(), 0u64);
    let parts = found.into_stream().map(move |part| {
        let part = part.map_err(|error| failed(&what, error))?;
        came += part.len() as u64;
        if came > limit { Err(too_large(came)) } else { Ok(part) }
    });
    Ok(parts.boxed())
}

/// A failure in words. The client's own words name no credentials; they may go on for long.
pub(super) fn failed(path: &Path, error: object_store::Error) -> Error {
    let reason: String = crate::errors::once(&error).chars().take(300).collect();
    Error::Store { what: path.to_string(), reason }
}

/// Whether an error says that there is no such object, rather than no such bucket.
fn is_absent(error: &object_store::Error) -> bool {
    if !matches!(error, object_store::Error::NotFound { .. }) {
        return false;
    }
    let said = crate::errors::once(error);
    !["NoSuchBucket", "ContainerNotFound", "specified bucket does not exist"]
        .iter()
        .any(|word| said.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_that_is_not_there_is_a_failure_and_no_absence() {
        let error = |said: &str| object_store::Error::NotFound { path: "p".into(), source: said.into() };
        assert!(is_absent(&error("<Code>NoSuchKey</Code>")));
        for said in ["<Code>NoSuchBucket</Code>", "ContainerNotFound", "The specified bucket does not exist."]
        {
            assert!(!is_absent(&error(said)), "{said}");
        }
    }
}
