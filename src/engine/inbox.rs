//! The one lock between handlers and workers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::error::Error;
use super::queue::Queue;
use super::row::{Answer, Row};
use crate::metrics::Metrics;

/// A row in the queue, with what its request waits on.
pub(super) struct Waiting {
    pub(super) row: Row,
    pub(super) entered: Instant,
    pub(super) reply: oneshot::Sender<Result<Answer, Error>>,
    /// Held until the row is answered or dropped.
    pub(super) permit: Permit,
}

/// How rows become batches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    pub(super) max_batch: usize,
    pub(super) max_wait: Duration,
}

#[derive(Default)]
struct State {
    queue: Queue<Waiting>,
    /// Rows admitted and not yet queued: images still being read or decoded.
    expected: usize,
    closed: bool,
}

/// How many times `max_batch` rows a batch may have where the rows beyond it share images with the others.
const BRANCHES: usize = 4;

/// The queue with its lock.
pub(super) struct Inbox {
    state: Mutex<State>,
    changed: Condvar,
    limit: usize,
    admitted: AtomicUsize,
    metrics: Arc<Metrics>,
}

/// The right to have one row in flight; given back when dropped.
pub struct Permit {
    inbox: Arc<Inbox>,
    queued: bool,
}

impl Inbox {
    pub(super) fn new(limit: usize, metrics: Arc<Metrics>) -> Self {
        let (state, changed) = (Mutex::default(), Condvar::new());
        Self { state, changed, limit, admitted: 0.into(), metrics }
    }

    /// Admits `asked` rows, all or none.
    pub(super) fn admit(self: &Arc<Self>, asked: usize) -> Result<Vec<Permit>, Error> {
        let mut state = self.lock();
        self.check(&state, asked)?;
        self.admitted.fetch_add(asked, Ordering::Relaxed);
        state.expected += asked;
        Ok((0..asked).map(|_| Permit { inbox: Arc::clone(self), queued: false }).collect())
    }

    /// Admits one row more than the limit allows.
    pub(super) fn admit_beside(self: &Arc<Self>) -> Result<Permit, Error> {
        let mut state = self.lock();
        if state.closed {
            return Err(Error::ShuttingDown);
        }
        self.admitted.fetch_add(1, Ordering::Relaxed);
        state.expected += 1;
        Ok(Permit { inbox: Arc::clone(self), queued: false })
    }

    /// Whether `asked` rows would be admitted now.
    pub(super) fn room(&self, asked: usize) -> Result<(), Error> {
        self.check(&self.lock(), asked)
    }

    fn check(&self, state: &State, asked: usize) -> Result<(), Error> {
        if state.closed {
            return Err(Error::ShuttingDown);
        }
        let (admitted, limit) = (self.admitted.load(Ordering::Relaxed), self.limit);
        if asked > limit {
            return Err(Error::NeverFits { asked, limit });
        }
        if admitted + asked > limit {
            return Err(Error::Overloaded { admitted, asked, limit });
        }
        Ok(())
    }

    /// Puts an admitted row into the queue.
    pub(super) fn submit(&self, row: Row, mut permit: Permit) -> oneshot::Receiver<Result<Answer, Error>> {
        let (reply, receiver) = oneshot::channel();
        let mut state = self.lock();
        // Even while closing: an admitted row is served.
        state.expected -= 1;
        permit.queued = true;
        let (task, cost) = (row.task.clone(), row.pack.flops);
        state.queue.push(&task, cost, Waiting { row, entered: Instant::now(), reply, permit });
        self.metrics.queue_rows.set(state.queue.len() as i64);
        drop(state);
        self.changed.notify_all();
        receiver
    }

    /// Waits for the next batch; `None` when the inbox is closed and empty.
    pub(super) fn next_batch(&self, policy: Policy) -> Option<Vec<Waiting>> {
        let mut state = self.lock();
        loop {
            let dead = self.take_dead(&mut state, Instant::now());
            if !dead.is_empty() {
                // Their spans close here, which may be slow: nobody waits for the lock meanwhile.
                drop(state);
                self.refuse(dead);
                state = self.lock();
                continue;
            }
            let wait = match ready(&state, policy, Instant::now()) {
                Ready::Now => {
                    let mut batch = state.queue.take(policy.max_batch);
                    join_branches(&mut state.queue, &mut batch, policy.max_batch * BRANCHES);
                    self.metrics.queue_rows.set(state.queue.len() as i64);
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

    /// Admits no more rows; workers end when the rows already admitted are served.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Takes out rows that are late or abandoned, before they cost compute.
    fn take_dead(&self, state: &mut State, now: Instant) -> Vec<Waiting> {
        let expired = |w: &Waiting| w.row.deadline.is_some_and(|deadline| deadline <= now);
        let dead = state.queue.remove(|w| w.reply.is_closed() || expired(w));
        self.metrics.queue_rows.set(state.queue.len() as i64);
        dead
    }

    /// Answers rows that are late or abandoned.
    fn refuse(&self, dead: Vec<Waiting>) {
        for waiting in dead {
            let reason = if waiting.reply.is_closed() { "abandoned" } else { "expired" };
            self.metrics.rows_dropped.with_label_values(&[reason]).inc();
            // An abandoned row's reply goes nowhere.
            let _ = waiting.reply.send(Err(Error::DeadlineExceeded));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Adds waiting rows that can share blocks with the batch's images, up to `most` rows. Together they cost little more;
/// apart they would cost everything.
fn join_branches(queue: &mut Queue<Waiting>, batch: &mut Vec<Waiting>, most: usize) {
    let late = |w: &Waiting| w.row.pack.modules.lowest_block() != Some(0);
    let mut room = most.saturating_sub(batch.len());
    let joining = queue.remove(|w| {
        let joins = room > 0 && batch.iter().any(|b| b.row.shares_image(&w.row) && late(b)) && late(w);
        room -= usize::from(joins);
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
fn ready(state: &State, policy: Policy, now: Instant) -> Ready {
    let Some(oldest) = state.queue.iter().map(|w| w.entered).min() else {
        return if state.closed && state.expected == 0 { Ready::Never } else { Ready::Later(None) };
    };
    let left = policy.max_wait.saturating_sub(now.saturating_duration_since(oldest));
    if state.queue.len() >= policy.max_batch || state.expected == 0 || left.is_zero() {
        return Ready::Now;
    }
    Ready::Later(Some(left))
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.inbox.admitted.fetch_sub(1, Ordering::Relaxed);
        if !self.queued {
            self.inbox.lock().expected -= 1;
            self.inbox.changed.notify_all();
        }
    }
}
