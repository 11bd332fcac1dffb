//! What a tenant has used of its quotas; it outlives a change of the file.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::bucket::{Bucket, Wait};
use super::quota::{Limits, Measure, Quota};
use crate::engine::Flow;

/// The account of one tenant.
#[derive(Debug)]
pub struct Account {
    flow: Flow,
    state: Mutex<State>,
    rows: AtomicUsize,
    /// Whether one of its requests to publish is being served.
    publishes: Arc<AtomicBool>,
    /// Whether one of its versions is coming.
    receives: Arc<AtomicBool>,
}

#[derive(Debug)]
struct State {
    quota: Quota,
    limits: Limits,
    buckets: [Option<Bucket>; Measure::ALL.len()],
}

/// Why a tenant must wait.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exhausted {
    /// Of what.
    pub measure: Measure,
    /// What it may have: in the measure's unit a second, or rows.
    pub limit: f64,
    /// How long until there is some again; none where there never is enough.
    pub wait: Option<Wait>,
}

/// What is left of the quota that is nearest to its end, for a client to see.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Left {
    /// Of what.
    pub measure: Measure,
    /// The most that may be used at once.
    pub most: f64,
    /// What is left of it.
    pub left: f64,
    /// How long until all of it is back.
    pub full: Wait,
}

/// Rows in flight; they are given back when this is dropped.
#[derive(Debug)]
pub struct Rows {
    account: Arc<Account>,
    count: usize,
}

impl Account {
    /// A new account.
    pub(super) fn new(flow: Flow, quota: Quota, limits: Limits, now: Instant) -> Self {
        let buckets = Measure::ALL.map(|measure| quota.bucket(measure, now));
        Self {
            flow,
            state: Mutex::new(State { quota, limits, buckets }),
            rows: 0.into(),
            publishes: Arc::default(),
            receives: Arc::default(),
        }
    }

    /// Its flow.
    pub fn flow(&self) -> Flow {
        self.flow
    }

    /// Follows a change of the quotas; what was used stays used.
    pub(super) fn change(&self, quota: Quota, limits: Limits, now: Instant) {
        let mut state = self.lock();
        state.limits = limits;
        if state.quota == quota {
            return;
        }
        for measure in Measure::ALL {
            let bucket = &mut state.buckets[measure as usize];
            *bucket = match (bucket.take(), quota.bucket(measure, now)) {
                (Some(old), Some(new)) => Some(old.with_rate_of(&new, now)),
                (_, new) => new,
            };
        }
        state.quota = quota;
    }

    /// Takes what a request is known to use of some measures, all or none. A measure that is not in debt gives any
    /// amount and goes into debt: so no request is too large for ever.
    ///
    /// # Errors
    /// The measure that takes the longest to be out of debt.
    pub fn take(&self, charges: &[(Measure, f64)], now: Instant) -> Result<(), Exhausted> {
        let mut state = self.lock();
        let mut worst: Option<Exhausted> = None;
        for &(measure, _) in charges {
            let Some(bucket) = &mut state.buckets[measure as usize] else { continue };
            if let Some(wait) = bucket.wait(now)
                && worst.is_none_or(|worst| worst.wait < Some(wait))
            {
                worst = Some(Exhausted { measure, limit: bucket.rate(), wait: Some(wait) });
            }
        }
        match worst {
            Some(exhausted) => Err(exhausted),
            None => {
                charges.iter().for_each(|&(measure, amount)| state.add(measure, amount, now));
                Ok(())
            }
        }
    }

    /// Puts right what was taken: a positive amount is taken too, a negative one is given back.
    pub fn correct(&self, measure: Measure, amount: f64, now: Instant) {
        self.lock().add(measure, amount, now);
    }

    /// Takes places for rows in flight.
    ///
    /// # Errors
    /// When there would be more than the tenant may have.
    pub fn rows(self: &Arc<Self>, count: usize) -> Result<Rows, Exhausted> {
        let limit = self.lock().limits.rows.unwrap_or(usize::MAX);
        let exhausted = || Exhausted { measure: Measure::Rows, limit: limit as f64, wait: None };
        if count > limit {
            return Err(exhausted());
        }
        let fits = |held: usize| held.checked_add(count).filter(|held| *held <= limit);
        let taken = self.rows.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
        let wait = Some(Duration::from_secs(1));
        taken
            .map(|_| Rows { account: Arc::clone(self), count })
            .map_err(|_| Exhausted { wait, ..exhausted() })
    }

    /// The tenant's one turn to publish; none while it has it.
    pub fn publishing(&self) -> Option<Turn> {
        Turn::take(&self.publishes)
    }

    /// The tenant's one turn to send a version; none while it has it. While a version comes slowly, the tenant can publish
    /// others: that is a turn of its own.
    pub fn receiving(&self) -> Option<Turn> {
        Turn::take(&self.receives)
    }

    /// Most of its own tasks that are published.
    pub fn most_tasks(&self) -> Option<usize> {
        self.lock().limits.tasks
    }

    /// Most memory of its packs, bytes.
    pub fn most_pack_bytes(&self) -> Option<u64> {
        self.lock().limits.pack_bytes
    }

    /// What is left of the quota that is nearest to its end; none without quotas.
    pub fn left(&self, now: Instant) -> Option<Left> {
        let mut state = self.lock();
        let left = Measure::ALL.into_iter().filter_map(|measure| {
            let bucket = state.buckets[measure as usize].as_mut()?;
            let (most, left, full) = (bucket.most(), bucket.left(now), bucket.until_full(now));
            Some(Left { measure, most, left, full })
        });
        left.min_by(|a, b| (a.left / a.most).total_cmp(&(b.left / b.most)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn add(&mut self, measure: Measure, amount: f64, now: Instant) {
        if let Some(bucket) = &mut self.buckets[measure as usize] {
            bucket.add(amount, now);
        }
    }
}

/// A tenant's turn; given back when dropped.
#[derive(Debug)]
pub struct Turn(Arc<AtomicBool>);

impl Turn {
    fn take(taken: &Arc<AtomicBool>) -> Option<Self> {
        (!taken.swap(true, Ordering::Acquire)).then(|| Self(Arc::clone(taken)))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.account.rows.fetch_sub(self.count, Ordering::Relaxed);
    }
}
