//! Fetches under way. Those who want the same blob share one, which goes on when nobody waits any more: a pack that takes
//! longer than its requests may wait comes all the same.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use tokio::sync::Semaphore;

use super::digest::Digest;
use super::error::Error;

/// Fetches at once.
const AT_ONCE: usize = 16;
/// Most fetches that wait or run: a client that asks and goes away leaves one behind.
const MOST: usize = 1024;
/// How long a failure is believed. So a blob that is not there costs few requests, however many want it.
const BELIEVED: Duration = Duration::from_millis(500);

type Outcome = Result<(), Arc<Error>>;

#[derive(Clone)]
enum Fetch {
    Going(Shared<BoxFuture<'static, Outcome>>),
    Failed(Arc<Error>, Instant),
}

/// Fetches by digest.
#[derive(Clone)]
pub(super) struct Fetches {
    all: Arc<Mutex<HashMap<Digest, Fetch>>>,
    turns: Arc<Semaphore>,
}

impl Default for Fetches {
    fn default() -> Self {
        Self { all: Arc::default(), turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl Fetches {
    /// Waits for the fetch of a blob, which is begun unless it is under way.
    ///
    /// # Errors
    /// What the fetch says, [`Error::Shared`], and [`Error::Busy`].
    pub(super) async fn wait(
        &self,
        digest: &Digest,
        fetch: impl Future<Output = Result<(), Error>> + Send + 'static,
    ) -> Result<(), Error> {
        self.begin(digest, fetch)?.await.map_err(Error::Shared)
    }

    fn begin(
        &self,
        digest: &Digest,
        fetch: impl Future<Output = Result<(), Error>> + Send + 'static,
    ) -> Result<Shared<BoxFuture<'static, Outcome>>, Error> {
        // Held until the fetch is entered, so that it cannot leave before.
        let mut all = self.lock();
        match all.get(digest) {
            // One that has ended here was interrupted.
            Some(Fetch::Going(going)) if going.peek().is_none() => return Ok(going.clone()),
            Some(Fetch::Failed(error, since)) if since.elapsed() < BELIEVED => {
                return Err(Error::Shared(Arc::clone(error)));
            }
            _ => {}
        }
        if all.len() >= MOST {
            all.retain(|_, fetch| matches!(fetch, Fetch::Going(_)));
        }
        if all.len() >= MOST {
            return Err(Error::Busy(MOST));
        }
        let going = self.spawn(digest.clone(), fetch);
        all.insert(digest.clone(), Fetch::Going(going.clone()));
        Ok(going)
    }

    fn spawn(
        &self,
        digest: Digest,
        fetch: impl Future<Output = Result<(), Error>> + Send + 'static,
    ) -> Shared<BoxFuture<'static, Outcome>> {
        let fetches = self.clone();
        let work = tokio::spawn(async move {
            // A closed semaphore is none of ours.
            let _turn = fetches.turns.acquire().await;
            let outcome = fetch.await.map_err(Arc::new);
            fetches.end(digest, &outcome);
            outcome
        });
        let lost = |e: tokio::task::JoinError| Err(Arc::new(Error::io("fetch")(std::io::Error::other(e))));
        async move { work.await.unwrap_or_else(lost) }.boxed().shared()
    }

    fn end(&self, digest: Digest, outcome: &Outcome) {
        let mut all = self.lock();
        match outcome {
            Ok(()) => all.remove(&digest),
            Err(error) => all.insert(digest, Fetch::Failed(Arc::clone(error), Instant::now())),
        };
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Fetch>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
