//! Counters that requests add to.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use super::charge::{Billed, Charge, Sum};

/// Counters under locks of their own.
const SHARDS: usize = 16;
/// Counters in a shard at which it is emptied early.
const FULL: usize = 1024;
/// Counters in a shard beyond which a tenant's others are counted together.
const MOST: usize = 2 * FULL;

/// What one shard holds.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// By whom they are for.
    pub(super) sums: HashMap<Billed, Sum>,
    /// Requests by tenant and code.
    pub(super) codes: HashMap<Arc<str>, HashMap<&'static str, u64>>,
}

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
        let sum = Sum::from(what);
        if let Some(known) = shard.sums.get_mut(who) {
            known.add(&sum);
        } else {
            let key = if shard.sums.len() < MOST { who.clone() } else { who.folded() };
            shard.sums.entry(key).or_default().add(&sum);
        }
        if let Some(code) = what.code {
            match shard.codes.get_mut(&who.tenant) {
                Some(codes) => *codes.entry(code).or_default() += what.requests,
                None => {
                    shard.codes.insert(Arc::clone(&who.tenant), HashMap::from([(code, what.requests)]));
                }
            }
        }
        shard.sums.len() == FULL
    }

    /// Takes everything, a shard at a time.
    pub(super) fn take(&self) -> impl Iterator<Item = Counters> + '_ {
        self.0.iter().map(|shard| mem::take(&mut *shard.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}
