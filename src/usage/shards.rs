//! Counters that requests add to.

use std::collections::HashMap;
use std::mem;
use std::sync::{Mutex, PoisonError};

use super::charge::{Billed, Charge, Sum};

/// Counters under locks of their own.
const SHARDS: usize = 16;
/// Counters in a shard at which it is emptied early.
const FULL: usize = 1024;
/// Counters in a shard beyond which a tenant's others are counted together.
const MOST: usize = 2 * FULL;

/// What was counted for somebody.
#[derive(Debug, Default)]
pub(super) struct Counted {
    pub(super) sum: Sum,
    /// Requests by code; there are few codes.
    pub(super) codes: Vec<Ended>,
}

/// Requests that ended with a code.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) code: &'static str,
    pub(super) requests: u64,
}

impl Counted {
    fn add(&mut self, what: &Charge) {
        self.sum.add(&Sum::from(what));
        let Some(code) = what.code else { return };
        match self.codes.iter_mut().find(|ended| ended.code == code) {
            Some(ended) => ended.requests += what.requests,
            None => self.codes.push(Ended { code, requests: what.requests }),
        }
    }
}

/// What one shard holds, by whom it is for.
type Counters = HashMap<Billed, Counted>;

/// All counters since they were last taken.
#[derive(Debug)]
pub(super) struct Shards([Mutex<Counters>; SHARDS]);

impl Shards {
    pub(super) fn new() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }

    /// Adds; true where the shard had better be emptied soon.
    pub(super) fn add(&self, who: &Billed, what: &Charge) -> bool {
        // Tenants mostly have one text each, so that its place tells them apart faster than its letters.
        let place = (who.tenant.as_ptr() as usize >> 4) % SHARDS;
        let mut shard = self.0[place].lock().unwrap_or_else(PoisonError::into_inner);
        match shard.get_mut(who) {
            Some(counted) => counted.add(what),
            None => {
                let who = if shard.len() < MOST { who.clone() } else { who.folded() };
                shard.entry(who).or_default().add(what);
            }
        }
        shard.len() == FULL
    }

    /// Takes everything, a shard at a time.
    pub(super) fn take(&self) -> impl Iterator<Item = Counters> + '_ {
        self.0.iter().map(|shard| mem::take(&mut *shard.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}
