//! What a store said lately about tasks that are not published.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::pack::TaskId;
use crate::shelf;

/// How long an answer of the store about a task that is not published is believed.
const BELIEVED: Duration = Duration::from_secs(2);
/// How long a change counts as recent: longer than a request to the store.
const CHANGED: Duration = Duration::from_secs(30);
/// Most tasks of which such an answer is kept.
const KEPT: u64 = 10_000;
/// Tasks asked about at once: whoever makes up names must not take all connections.
const AT_ONCE: usize = 32;

/// Tasks that are asked about or wait for that; more are refused.
pub(super) const PLACES: usize = 1024;

/// Most places that the requests of one tenant take: an eighth.
pub(super) const OWN_PLACES: usize = PLACES / 8;

/// Too many tasks are asked about: so many are the limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crowded(pub(super) usize);

/// Places of tasks that are asked about, by the tenant that asks.
#[derive(Default)]
pub(super) struct Places(Mutex<Taken>);

#[derive(Default)]
struct Taken {
    all: usize,
    asking: HashMap<Arc<str>, usize>,
}

/// A place, until it is dropped.
pub(super) struct Place<'a> {
    places: &'a Places,
    tenant: Option<Arc<str>>,
}

impl Places {
    /// Takes a place for what a tenant asks about, or nobody.
    pub(super) fn take(&self, tenant: Option<Arc<str>>) -> Result<Place<'_>, Crowded> {
        let mut taken = self.lock();
        if taken.all >= PLACES {
            return Err(Crowded(PLACES));
        }
        if let Some(tenant) = &tenant {
            let own = taken.asking.entry(Arc::clone(tenant)).or_default();
            if *own >= OWN_PLACES {
                return Err(Crowded(OWN_PLACES));
            }
            *own += 1;
        }
        taken.all += 1;
        Ok(Place { places: self, tenant })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.all -= 1;
        if let Some(tenant) = self.tenant.take() {
            let own = taken.asking.entry(tenant).or_default();
            *own = own.saturating_sub(1);
            taken.asking.retain(|_, count| *count > 0);
        }
    }
}

/// What the store said about a task.
#[derive(Clone, Debug)]
pub(super) enum Learned {
    /// It is published now, or is not there: the catalog knows.
    Said,
    /// Nothing that could be used.
    Failed(Arc<shelf::Error>),
}

/// What was asked lately.
pub(super) struct Lessons {
    pub(super) said: moka::future::Cache<TaskId, Learned>,
    pub(super) turns: Semaphore,
    pub(super) places: Places,
    /// Tasks that have changed lately: what was read of them meanwhile may be old.
    changed: moka::future::Cache<TaskId, ()>,
}

impl Default for Lessons {
    fn default() -> Self {
        let said = moka::future::Cache::builder().max_capacity(KEPT).time_to_live(BELIEVED).build();
        let changed = moka::future::Cache::builder().max_capacity(KEPT).time_to_live(CHANGED).build();
        Self { said, turns: Semaphore::new(AT_ONCE), places: Places::default(), changed }
    }
}

impl Lessons {
    /// Forgets what was said about a task, which has changed.
    pub(super) async fn forget(&self, task: &TaskId) {
        self.changed.insert(task.clone(), ()).await;
        self.said.invalidate(task).await;
    }

    /// Whether a task has changed lately.
    pub(super) fn has_changed(&self, task: &TaskId) -> bool {
        self.changed.contains_key(task)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_takes_its_own_places_and_no_others() {
        let places = Places::default();
        let of = |name: &str| Some(Arc::from(name));
        let mut held: Vec<Place<'_>> = (0..OWN_PLACES).map(|_| places.take(of("a")).ok().unwrap()).collect();
        assert_eq!(places.take(of("a")).err().unwrap().0, OWN_PLACES);
        held.extend((OWN_PLACES..PLACES).map(|_| places.take(None).ok().unwrap()));
        assert_eq!(places.take(of("b")).err().unwrap().0, PLACES);
        held.truncate(1);
        assert!(places.take(of("a")).is_ok() && places.take(of("b")).is_ok());
        drop(held);
        let taken = places.lock();
        assert!(taken.all == 0 && taken.asking.is_empty());
    }
}
