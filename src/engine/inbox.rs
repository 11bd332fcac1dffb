//! The one lock between handlers and workers.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::error::Error;
use super::health::Health;
use super::load::{Load, Want};
use super::queue::{Charge, Queue};
use super::reply::{Head, Outcome, Reply};
use super::row::{Row, Share};
use super::speed::Speed;
use crate::metrics::Metrics;

/// A row in the queue, with what its request waits on.
pub(super) struct Waiting {
    pub(super) row: Row,
    pub(super) entered: Instant,
    pub(super) reply: oneshot::Sender<Result<Outcome, Error>>,
    /// Held until the row is answered or dropped.
    pub(super) permit: Permit,
}

impl Waiting {
    /// Answers the row, and says whether anybody still waited for it. What it held goes first, so that a client who sends
    /// its next request on this answer finds room.
    pub(super) fn reply(self, outcome: Result<Outcome, Error>) -> bool {
        let Self { row, reply, permit, .. } = self;
        drop((row, permit));
        reply.send(outcome).is_ok()
    }
}

pub(super) struct State {
    pub(super) queue: Queue<Waiting>,
    pub(super) load: Load,
    pub(super) speed: Speed,
    /// Rows admitted and not yet queued: images still being read or decoded.
    pub(super) expected: usize,
    pub(super) closed: bool,
    /// What is known of each device.
    pub(super) devices: Vec<Health>,
}

/// The queue with its lock.
pub(super) struct Inbox {
    pub(super) state: Mutex<State>,
    pub(super) changed: Condvar,
    pub(super) limit: usize,
    pub(super) workers: usize,
    pub(super) metrics: Arc<Metrics>,
}

/// The right to have one row in flight; given back when dropped.
pub struct Permit {
    pub(super) inbox: Arc<Inbox>,
    pub(super) share: Share,
    /// What is expected of the row, once it is known.
    pub(super) want: Option<Want>,
    pub(super) queued: bool,
}

impl Inbox {
    /// For so many rows in flight, devices, and workers of all of them.
    pub(super) fn new(limit: usize, (devices, workers): (usize, usize), metrics: Arc<Metrics>) -> Self {
        let state = State {
            queue: Queue::default(),
            load: Load::new(limit),
            speed: Speed::default(),
            expected: 0,
            closed: false,
            devices: vec![Health::default(); devices],
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), limit, workers, metrics }
    }

    /// How long the workers take for so many FLOPs, once that was measured.
    pub(super) fn seconds(&self, state: &State, flops: u128) -> Option<Duration> {
        let left = 1.0 - state.out() as f64 / state.devices.len().max(1) as f64;
        let workers = (self.workers as f64 * left).max(1.0);
        let seconds = state.speed.seconds(flops)? / workers;
        Duration::try_from_secs_f64(seconds).ok()
    }

    /// Shows what waits.
    pub(super) fn show(&self, state: &State) {
        self.metrics.engine.queue_rows.set(state.queue.len() as i64);
        let backlog = self.seconds(state, state.queue.cost()).unwrap_or_default();
        self.metrics.engine.backlog_seconds.set(backlog.as_secs_f64());
    }

    /// Puts an admitted row into the queue.
    pub(super) fn submit(&self, row: Row, mut permit: Permit) -> Reply {
        let (reply, receiver) = oneshot::channel();
        let answer = Reply::new(receiver, Head::of(&row));
        let mut state = self.lock();
        // Even while closing: an admitted row is served.
        state.expected -= 1;
        permit.queued = true;
        let (share, task, cost) = (row.share, row.task.clone(), row.pack.flops);
        if permit.want.is_none() {
            let want = Want { task: task.clone(), flops: cost };
            state.load.charge(permit.share, &want);
            permit.want = Some(want);
        }
        if state.is_stranded() {
            drop(state);
            drop((row, permit));
            // The receiver is here.
            let _ = reply.send(Err(Error::NoDevice));
            self.changed.notify_all();
            return answer;
        }
        state.queue.push(share, &task, cost, Waiting { row, entered: Instant::now(), reply, permit });
        self.show(&state);
        drop(state);
        self.changed.notify_all();
        answer
    }

    /// Rows that were taken are done and cost so many FLOPs.
    pub(super) fn settle(&self, done: impl Iterator<Item = (u64, Charge)>) {
        let mut state = self.lock();
        done.for_each(|(flops, charge)| state.queue.settle(charge, flops));
    }

    /// Admits no more rows; workers end when the rows already admitted are served.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.inbox.lock();
        state.load.leave(self.share, self.want.as_ref());
        if !self.queued {
            state.expected -= 1;
            drop(state);
            self.inbox.changed.notify_all();
        }
    }
}
