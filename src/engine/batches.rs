//! When a batch starts, and which rows it has.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::depths::{kind, shares_pass};
use super::error::Error;
use super::fork::Costs;
use super::health::Trust;
use super::inbox::{Inbox, State, Waiting};
use super::programs::PlanTable;
use super::queue::Taken;
use super::speed::Run;

/// How rows become batches.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    pub(super) max_batch: usize,
    pub(super) max_wait: Duration,
    pub(super) costs: Costs,
    pub(super) plans: Arc<Mutex<PlanTable>>,
}

/// How many times `max_batch` rows a batch may have where the rows beyond it share images with the others.
const BRANCHES: usize = 4;

impl Inbox {
    /// Waits for the next batch; `None` when the inbox is closed and empty, no row when the device is to be tried first.
    pub(super) fn next_batch(&self, policy: &Policy, device: usize) -> Option<Vec<Taken<Waiting>>> {
        let mut state = self.lock();
        loop {
            if state.devices.get(device).is_none_or(|health| health.trust() != Trust::In) {
                return Some(Vec::new());
            }
            let dead = self.take_dead(&mut state, Instant::now());
            if !dead.is_empty() {
                // Their spans close here, which may be slow: nobody waits for the lock meanwhile.
                drop(state);
                self.refuse(dead);
                state = self.lock();
                continue;
            }
            let now = Instant::now();
            let most = most_rows(&state, policy, now);
            let wait = match ready(&state, most, policy.max_wait, now) {
                Ready::Now => {
                    let mut batch = state.queue.take(most);
                    join_branches(&mut state, &mut batch, policy, now);
                    self.show(&state);
                    return Some(batch);
                }
                Ready::Never => return None,
                Ready::Later(wait) => wait,
            };
            state = match wait {
                Some(wait) => self
                    .changed
                    .wait_timeout(state, wait)
                    .map(|(s, _)| s)
                    .unwrap_or_else(|e| e.into_inner().0),
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Notes how fast a run was.
    pub(super) fn note(&self, run: Run, policy: &Policy) {
        self.lock().speed.note(run, policy.max_batch, Instant::now());
    }

    /// Takes out rows that are late or abandoned, before they cost compute.
    fn take_dead(&self, state: &mut State, now: Instant) -> Vec<Waiting> {
        let expired = |w: &Waiting| w.row.deadline.is_some_and(|deadline| deadline <= now);
        let dead = state.queue.remove(|w| w.reply.is_closed() || expired(w));
        self.show(state);
        dead
    }

    /// Answers rows that are late or abandoned.
    fn refuse(&self, dead: Vec<Waiting>) {
        for waiting in dead {
            let reason = if waiting.reply.is_closed() { "abandoned" } else { "expired" };
            self.metrics.engine.rows_dropped.with_label_values(&[reason]).inc();
            // An abandoned row's reply goes nowhere.
            waiting.reply(Err(Error::DeadlineExceeded));
        }
    }
}

/// Most rows of a batch. Where several flows are about, a row does not wait for others' rows in its batch unless batching
/// gains, as measured here.
fn most_rows(state: &State, policy: &Policy, now: Instant) -> usize {
    match state.load.is_mixed(now) {
        true => state.speed.batch(policy.max_batch, now),
        false => policy.max_batch,
    }
}

/// Adds waiting rows that can share blocks with the batch's images. Together they cost little more; apart they would cost
/// everything, so rows whose cut has no programs do not join, and none for whose kind the batch runs nothing. Where several
/// flows are about, they may add half a row: others wait for the batch. Nothing joins a row that runs alone to be measured.
fn join_branches(state: &mut State, batch: &mut Vec<Taken<Waiting>>, policy: &Policy, now: Instant) {
    let is_mixed = state.load.is_mixed(now);
    if is_mixed && !state.speed.knows_one(now) {
        return;
    }
    let plans = policy.plans.lock().unwrap_or_else(PoisonError::into_inner);
    let late = |w: &Waiting| w.row.pack.modules.lowest_block() != Some(0);
    let mut room = (policy.max_batch * BRANCHES).saturating_sub(batch.len());
    let mut flops = if is_mixed { policy.costs.whole() / 2 } else { u64::MAX };
    let joining = state.queue.take_where(|w| {
        let alike = || {
            let own = batch.iter().filter(|b| b.row.row.shares_image(&w.row) && late(&b.row));
            shares_pass(&own.map(|b| kind(&b.row.row.pack)).collect::<Vec<_>>(), kind(&w.row.pack))
        };
        let above = policy.costs.above(&w.row.pack);
        let fits = room > 0 && above <= flops && late(w) && plans.cuts(w.row.pack.modules);
        let joins = fits && alike();
        if joins {
            (room, flops) = (room - 1, flops - above);
        }
        joins
    });
    batch.extend(joining);
}

enum Ready {
    Now,
    Later(Option<Duration>),
    Never,
}

/// Whether a batch should start: when it is full, when its oldest row has waited long enough, or when no
/// other row is on its way, so that a lone request never waits for company that cannot come.
fn ready(state: &State, most: usize, max_wait: Duration, now: Instant) -> Ready {
    let Some(oldest) = state.queue.oldest().map(|w| w.entered) else {
        return if state.closed && state.expected == 0 { Ready::Never } else { Ready::Later(None) };
    };
    let left = max_wait.saturating_sub(now.saturating_duration_since(oldest));
    if state.queue.len() >= most || state.expected == 0 || left.is_zero() {
        return Ready::Now;
    }
    Ready::Later(Some(left))
}
