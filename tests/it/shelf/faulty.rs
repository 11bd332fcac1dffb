//! A store in memory that stops at a request, as for a process that is killed there, or is away for a while.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};

/// Clones stop together.
#[derive(Clone, Debug)]
pub struct Faulty {
    pub inner: Arc<InMemory>,
    requests: Arc<AtomicUsize>,
    pub lists: Arc<AtomicUsize>,
    /// The request at which it stops.
    stop: usize,
    /// Whether that one still takes effect, and only its answer is lost.
    takes_effect: bool,
    /// Whether it goes on behind that one.
    goes_on: bool,
    /// Whether others get a turn before a request, at random.
    gives_way: bool,
    pub is_away: Arc<AtomicBool>,
}

impl Faulty {
    pub fn new(inner: Arc<InMemory>) -> Self {
        Self::stopping(inner, usize::MAX, false)
    }

    pub fn stopping(inner: Arc<InMemory>, stop: usize, takes_effect: bool) -> Self {
        let (requests, lists, is_away) = Default::default();
        Self { inner, requests, lists, stop, takes_effect, goes_on: false, gives_way: false, is_away }
    }

    /// One that loses the answer to a request, which takes effect or not, and then goes on.
    pub fn losing(inner: Arc<InMemory>, request: usize, takes_effect: bool) -> Self {
        Self { goes_on: true, ..Self::stopping(inner, request, takes_effect) }
    }

    /// One whose requests are in any order with those of others.
    pub fn giving_way(inner: Arc<InMemory>) -> Self {
        Self { gives_way: true, ..Self::new(inner) }
    }

    async fn give_way(&self) {
        if self.gives_way {
            for _ in 0..rand::random_range(0..4) {
                tokio::task::yield_now().await;
            }
        }
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Whether a request takes effect, and whether its answer comes.
    fn next(&self) -> (bool, bool) {
        let number = self.requests.fetch_add(1, Ordering::SeqCst);
        let is_here = !self.is_away.load(Ordering::SeqCst);
        let is_served = number < self.stop || self.goes_on && number > self.stop;
        let takes_effect = is_served || number == self.stop && self.takes_effect;
        (is_here && takes_effect, is_here && is_served)
    }

    async fn run<T>(&self, request: impl Future<Output = Result<T>>) -> Result<T> {
        let lost = || Error::Generic { store: "test", source: "connection refused".into() };
        self.give_way().await;
        let (takes_effect, is_answered) = self.next();
        let done = if takes_effect { request.await } else { Err(lost()) };
        if is_answered { done } else { Err(lost()) }
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

/// An upload in parts, each a request.
#[derive(Debug)]
struct Parts {
    store: Faulty,
    inner: Box<dyn MultipartUpload>,
}

#[async_trait::async_trait]
impl MultipartUpload for Parts {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (store, part) = (self.store.clone(), self.inner.put_part(data));
        Box::pin(async move { store.run(part).await })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.store.run(self.inner.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        self.store.run(self.inner.abort()).await
    }
}

#[async_trait::async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.run(self.inner.put_opts(location, payload, opts)).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let inner = self.run(self.inner.put_multipart_opts(location, opts)).await?;
        Ok(Box::new(Parts { store: self.clone(), inner }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.run(self.inner.get_opts(location, options)).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.run(self.inner.get_ranges(location, ranges)).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (takes_effect, is_answered) = self.next();
        let lost =
            || futures::stream::iter([Err(Error::Generic { store: "test", source: "gone".into() })]).boxed();
        match (takes_effect, is_answered) {
            (true, true) => self.inner.delete_stream(locations),
            (true, false) => {
                let (inner, lost) = (Arc::clone(&self.inner), lost());
                let effect = async move {
                    inner.delete_stream(locations).collect::<Vec<_>>().await;
                    lost
                };
                futures::stream::once(effect).flatten().boxed()
            }
            _ => lost(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.lists.fetch_add(1, Ordering::SeqCst);
        match self.next().1 {
            true => self.inner.list(prefix),
            false => {
                futures::stream::iter([Err(Error::Generic { store: "test", source: "gone".into() })]).boxed()
            }
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.lists.fetch_add(1, Ordering::SeqCst);
        self.run(self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.run(self.inner.copy_opts(from, to, options)).await
    }
}
