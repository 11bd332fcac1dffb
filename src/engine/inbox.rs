//! The one lock between handlers and workers.

use std::iter;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::error::Error;
use super::fork::Costs;
use super::load::{Load, Want};
use super::programs::PlanTable;
use super::queue::{Charge, Queue, Taken};
use super::row::{Answer, Flow, Row, Share};
use super::speed::{Run, Speed};
use crate::metrics::Metrics;

/// A row in the queue, with what its request waits on.
pub(super) struct Waiting {
    pub(super) row: Row,
    pub(super) entered: Instant,
    pub(super) reply: oneshot::Sender<Result<Answer, Error>>,
    /// Held until the row is answered or dropped.
    pub(super) permit: Permit,
}

impl Waiting {
    /// Answers the row. What it held goes first, so that a client who sends its next request on this answer finds room.
    ///
    /// # Errors
    /// The answer, where nobody waits for it any more.
    pub(super) fn reply(self, answer: Result<Answer, Error>) -> Result<(), Result<Answer, Error>> {
        let Self { row, reply, permit, .. } = self;
        drop((row, permit));
        reply.send(answer)
    }
}

/// How rows become batches.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    pub(super) max_batch: usize,
    pub(super) max_wait: Duration,
    pub(super) costs: Costs,
    pub(super) plans: Arc<Mutex<PlanTable>>,
}

struct State {
    queue: Queue<Waiting>,
    load: Load,
    speed: Speed,
    /// Rows admitted and not yet queued: images still being read or decoded.
    expected: usize,
    closed: bool,
}

/// How many times `max_batch` rows a batch may have where the rows beyond it share images with the others.
const BRANCHES: usize = 4;
/// Shortest and longest advice to an overloaded caller.
const RETRY: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(60)];

/// The queue with its lock.
pub(super) struct Inbox {
    state: Mutex<State>,
    changed: Condvar,
    limit: usize,
    workers: usize,
    metrics: Arc<Metrics>,
}

/// The right to have one row in flight; given back when dropped.
pub struct Permit {
    inbox: Arc<Inbox>,
    flow: Flow,
    /// What is expected of the row, once it is known.
    want: Option<Want>,
    queued: bool,
}

/// Rows that are to be admitted, all or none.
#[derive(Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) share: Share,
    pub(super) rows: usize,
    /// What they are, in their order, where it is known.
    pub(super) wants: &'a [Want],
    pub(super) deadline: Option<Instant>,
}

impl Inbox {
    /// For so many rows in flight and workers.
    pub(super) fn new(limit: usize, workers: usize, metrics: Arc<Metrics>) -> Self {
        let state = State {
            queue: Queue::default(),
            load: Load::new(limit),
            speed: Speed::default(),
            expected: 0,
            closed: false,
        };
        Self { state: Mutex::new(state), changed: Condvar::new(), limit, workers, metrics }
    }

    /// Admits rows, all or none.
    pub(super) fn admit(self: &Arc<Self>, ask: Ask<'_>, now: Instant) -> Result<Vec<Permit>, Error> {
        let mut state = self.lock();
        self.check(&state, ask.share, ask.rows)?;
        self.check_time(&state, ask, now)?;
        let wants = ask.wants.iter().cloned().map(Some).chain(iter::repeat(None)).take(ask.rows);
        Ok(wants.map(|want| self.permit(&mut state, ask.share, want, now)).collect())
    }

    /// Admits one of the server's own rows, beyond the limit.
    pub(super) fn admit_beside(self: &Arc<Self>) -> Result<Permit, Error> {
        let mut state = self.lock();
        if state.closed {
            return Err(Error::ShuttingDown);
        }
        Ok(self.permit(&mut state, Share::INTERNAL, None, Instant::now()))
    }

    /// Whether `asked` rows of somebody who holds none would be admitted now.
    pub(super) fn room(&self, asked: usize) -> Result<(), Error> {
        let state = self.lock();
        self.check_free(&state, asked)
    }

    fn permit(self: &Arc<Self>, state: &mut State, share: Share, want: Option<Want>, now: Instant) -> Permit {
        state.expected += 1;
        state.load.enter(share, now);
        want.iter().for_each(|want| state.load.charge(share.flow, want));
        Permit { inbox: Arc::clone(self), flow: share.flow, want, queued: false }
    }

    fn check(&self, state: &State, share: Share, asked: usize) -> Result<(), Error> {
        self.check_free(state, asked)?;
        let Err(held) = state.load.places(share, asked) else { return Ok(()) };
        let retry_after = self.retry(state, state.load.before(share, iter::empty()));
        Err(Error::Crowded { held, asked, retry_after })
    }

    /// Refuses what would exceed the limit, whoever asks.
    fn check_free(&self, state: &State, asked: usize) -> Result<(), Error> {
        let limit = self.limit;
        if state.closed {
            return Err(Error::ShuttingDown);
        }
        if asked > limit {
            return Err(Error::NeverFits { asked, limit });
        }
        if asked <= state.load.free() {
            return Ok(());
        }
        Err(match state.load.rows_of_all() {
            // How much others have in flight is not told, nor how long that takes.
            None => Error::Full { asked, retry_after: RETRY[0] },
            Some(admitted) => {
                let retry_after = self.retry(state, state.load.flops());
                Error::Overloaded { admitted, asked, limit, retry_after }
            }
        })
    }

    fn retry(&self, state: &State, flops: u128) -> Duration {
        self.seconds(state, flops).unwrap_or_default().clamp(RETRY[0], RETRY[1])
    }

    /// Refuses what would have its turn after its deadline, by what was measured.
    fn check_time(&self, state: &State, ask: Ask<'_>, now: Instant) -> Result<(), Error> {
        let Some(deadline) = ask.deadline.filter(|_| !ask.wants.is_empty()) else { return Ok(()) };
        let before = state.load.before(ask.share, ask.wants.iter().map(|want| &want.task));
        let left = deadline.saturating_duration_since(now);
        match self.seconds(state, before) {
            Some(turn) if turn > left => Err(Error::TooLate { turn, left }),
            _ => Ok(()),
        }
    }

    /// How long the workers take for so many FLOPs, once that was measured.
    fn seconds(&self, state: &State, flops: u128) -> Option<Duration> {
        let seconds = state.speed.seconds(flops)? / self.workers.max(1) as f64;
        Duration::try_from_secs_f64(seconds).ok()
    }

    /// Shows what waits.
    fn show(&self, state: &State) {
        self.metrics.queue_rows.set(state.queue.len() as i64);
        let backlog = self.seconds(state, state.queue.cost()).unwrap_or_default();
        self.metrics.backlog_seconds.set(backlog.as_secs_f64());
    }

    /// Puts an admitted row into the queue.
    pub(super) fn submit(&self, row: Row, mut permit: Permit) -> oneshot::Receiver<Result<Answer, Error>> {
        let (reply, receiver) = oneshot::channel();
        let mut state = self.lock();
        // Even while closing: an admitted row is served.
        state.expected -= 1;
        permit.queued = true;
        let (share, task, cost) = (row.share, row.task.clone(), row.pack.flops);
        if permit.want.is_none() {
            let want = Want { task: task.clone(), flops: cost };
            state.load.charge(permit.flow, &want);
            permit.want = Some(want);
        }
        state.queue.push(share, &task, cost, Waiting { row, entered: Instant::now(), reply, permit });
        self.show(&state);
        drop(state);
        self.changed.notify_all();
        receiver
    }

    /// Waits for the next batch; `None` when the inbox is closed and empty.
    pub(super) fn next_batch(&self, policy: &Policy) -> Option<Vec<Taken<Waiting>>> {
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
            self.metrics.rows_dropped.with_label_values(&[reason]).inc();
            // An abandoned row's reply goes nowhere.
            let _ = waiting.reply(Err(Error::DeadlineExceeded));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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
/// everything, so rows whose cut has no programs do not join. Where several flows are about, they may add half a row: others
/// wait for the batch. Nothing joins a row that runs alone to be measured.
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
        let shares = |b: &Taken<Waiting>| b.row.row.shares_image(&w.row) && late(&b.row);
        let above = policy.costs.above(&w.row.pack);
        let fits = room > 0 && above <= flops && late(w) && plans.cuts(w.row.pack.modules);
        let joins = fits && batch.iter().any(shares);
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

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.inbox.lock();
        state.load.leave(self.flow, self.want.as_ref());
        if !self.queued {
            state.expected -= 1;
            drop(state);
            self.inbox.changed.notify_all();
        }
    }
}
