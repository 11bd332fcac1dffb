//! Places to decode images in, handed out in turn between flows by the seconds they took.
//!
//! A flow that decodes more than its share beside others does so on threads of lower priority, so that the engine and
//! others' images go first. Those threads have half of the places. Where all others are taken, one flow that decodes nothing
//! gets one more.

mod lately;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::error::Error;
use crate::engine::{Charge, Flow, Queue, Share, Taken};
use crate::pack::TaskId;

use lately::Lately;

/// What an image is charged until it is known how long it took, nanoseconds.
const GUESS: u64 = 10_000_000;
/// How nice the threads of lower priority are; 10 is a tenth of a core beside a thread of normal priority.
const NICE: i32 = 10;

/// The places.
pub(super) struct Decoders {
    state: Mutex<State>,
    places: usize,
}

#[derive(Default)]
struct State {
    waiting: Queue<Waiting>,
    running: HashMap<Flow, usize>,
    /// Of all that run, those at a lower priority.
    low: usize,
    lately: Lately,
}

struct Waiting {
    share: Share,
    give: oneshot::Sender<Place>,
}

/// The right to decode one image; given back when dropped.
pub(super) struct Place {
    decoders: Arc<Decoders>,
    share: Share,
    charge: Option<Charge>,
    started: Option<Instant>,
    is_low: bool,
}

/// A place with who waits for it.
struct Granted {
    place: Place,
    give: oneshot::Sender<Place>,
}

impl Decoders {
    /// So many places, at least one.
    pub(super) fn new(places: usize) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), places: places.max(1) })
    }

    /// Waits for a place.
    pub(super) async fn place(self: &Arc<Self>, share: Share) -> Result<Place, Error> {
        let (give, receive) = oneshot::channel();
        self.lock().waiting.push(share, &TaskId::none(), GUESS, Waiting { share, give });
        self.hand_out();
        receive.await.map_err(|_| Error::Internal("no place to decode in".into()))
    }

    /// Gives free places to those whose turn it is.
    fn hand_out(self: &Arc<Self>) {
        let granted = self.grant(Instant::now());
        // Whoever went away meanwhile drops the place, which takes the lock: it is free here.
        granted.into_iter().for_each(|Granted { place, give }| drop(give.send(place)));
    }

    fn grant(self: &Arc<Self>, now: Instant) -> Vec<Granted> {
        let mut state = self.lock();
        drop(state.waiting.remove(|waiting| waiting.give.is_closed()));
        let mut granted = Vec::new();
        if state.waiting.is_empty() {
            return granted;
        }
        let over = state.lately.over(now);
        while let Some(Taken { row: Waiting { share, give }, charge }) = state.next(self.places, &over) {
            let is_low = over.contains(&share.flow);
            *state.running.entry(share.flow).or_default() += 1;
            state.low += usize::from(is_low);
            let (decoders, charge) = (Arc::clone(self), Some(charge));
            granted.push(Granted { place: Place { decoders, share, charge, started: None, is_low }, give });
        }
        granted
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Who gets the next place, if there is one.
    ///
    /// Images at a lower priority have half of the places, so that no other image waits for one that gets no processor.
    fn next(&mut self, places: usize, over: &HashSet<Flow>) -> Option<Taken<Waiting>> {
        let usual = self.running.values().sum::<usize>() - self.low;
        let (has_usual, has_low) = (usual < places, self.low < (places / 2).max(1));
        let Self { waiting, running, .. } = self;
        waiting.take_next(|Waiting { share: Share { flow, .. }, .. }| match over.contains(flow) {
            true => has_low,
            // One beyond the places, for a flow that has none.
            false => has_usual || (usual == places && !running.contains_key(flow)),
        })
    }
}

impl Place {
    /// Runs `work` in this place, off the threads that serve sockets.
    pub(super) async fn run<T: Send + 'static>(
        mut self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let is_low = self.is_low;
        let timed = move || {
            self.started = Some(Instant::now());
            let made = work();
            drop(self);
            made
        };
        if !is_low {
            let done = tokio::task::spawn_blocking(timed).await;
            return done.map_err(|e| Error::Internal(e.to_string()));
        }
        let (give, receive) = oneshot::channel();
        let low = move || {
            step_back();
            // Whoever asked may have gone.
            let _ = give.send(timed());
        };
        let spawned = std::thread::Builder::new().name("decoder-low".into()).spawn(low);
        spawned.map_err(|e| Error::Internal(format!("start a thread to decode: {e}")))?;
        receive.await.map_err(|_| Error::Internal("an image's decoding panicked".into()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let now = Instant::now();
        let took = self.started.map_or(Duration::ZERO, |started| now - started);
        let mut state = self.decoders.lock();
        if let Some(running) = state.running.get_mut(&self.share.flow) {
            *running -= 1;
            if *running == 0 {
                state.running.remove(&self.share.flow);
            }
        }
        state.low -= usize::from(self.is_low);
        if self.started.is_some() {
            state.lately.note(self.share, took, now);
        }
        if let Some(charge) = self.charge.take() {
            state.waiting.settle(charge, u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        }
        drop(state);
        self.decoders.hand_out();
    }
}

/// Gives this thread a lower priority. On Linux a priority is a thread's own; elsewhere it is the process', so nothing is
/// done.
fn step_back() {
    #[cfg(target_os = "linux")]
    {
        // A process that is nicer already stays as it is.
        let now = rustix::process::getpriority_process(None).unwrap_or(0);
        if now < NICE
            && let Err(error) = rustix::process::setpriority_process(None, NICE)
        {
            tracing::debug!(%error, "a thread that decodes keeps its priority");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;

    pub(super) fn share(flow: u64) -> Share {
        Share::new(Flow::new(flow), 1)
    }

    async fn soon(place: impl Future<Output = Result<Place, Error>>) -> Option<Place> {
        tokio::time::timeout(Duration::from_millis(50), place).await.ok().map(Result::unwrap)
    }

    #[tokio::test]
    async fn a_flow_finds_a_place_beside_one_that_has_taken_all() {
        let decoders = Decoders::new(2);
        let first = [decoders.place(share(1)).await.unwrap(), decoders.place(share(1)).await.unwrap()];
        assert!(soon(decoders.place(share(1))).await.is_none(), "a flow has no more than there are");
        let other = soon(decoders.place(share(2))).await.unwrap();
        assert!(soon(decoders.place(share(3))).await.is_none(), "there is one beyond, and no second");
        drop(other);
        drop(first);
        assert!(decoders.lock().running.is_empty());
        let both = [decoders.place(share(1)).await.unwrap(), decoders.place(share(1)).await.unwrap()];
        assert_eq!(both.len(), 2, "what was waited for in vain is free again");
    }

    #[tokio::test]
    async fn places_go_round_between_flows() {
        let decoders = Decoders::new(1);
        let held = decoders.place(share(9)).await.unwrap();
        let beyond = decoders.place(share(8)).await.unwrap();
        let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
        for flow in [1, 1, 1, 1, 2, 2] {
            let (decoders, told) = (Arc::clone(&decoders), told.clone());
            tokio::spawn(async move {
                let place = decoders.place(share(flow)).await.unwrap();
                told.send(flow).unwrap();
                tokio::time::sleep(Duration::from_millis(2)).await;
                drop(place);
            });
            tokio::task::yield_now().await;
        }
        drop(beyond);
        drop(held);
        let mut order = Vec::new();
        for _ in 0..6 {
            order.push(heard.recv().await.unwrap());
        }
        assert_eq!(order[..4].iter().filter(|flow| **flow == 2).count(), 2, "{order:?}");
    }

    #[tokio::test]
    async fn who_steps_back_leaves_places_which_go_by_turn() {
        let decoders = Decoders::new(4);
        for (flow, milliseconds) in [(1, 10_000), (2, 1), (3, 1), (4, 1), (5, 1)] {
            decoders.lock().lately.note(share(flow), Duration::from_millis(milliseconds), Instant::now());
        }
        let place = |flow| decoders.place(share(flow));
        let low = [place(1).await.unwrap(), place(1).await.unwrap()];
        assert!(low.iter().all(|place| place.is_low));
        assert!(soon(place(1)).await.is_none(), "half of the places");
        let usual = [place(3).await.unwrap(), place(2).await.unwrap(), place(2).await.unwrap()];
        let (last, beyond) = (place(4).await.unwrap(), place(5).await.unwrap());
        let mut second = std::pin::pin!(place(2));
        let mut first = std::pin::pin!(place(3));
        let mut context = Context::from_waker(Waker::noop());
        assert!(
            second.as_mut().poll(&mut context).is_pending() && first.as_mut().poll(&mut context).is_pending()
        );
        drop((beyond, last));
        assert!(second.as_mut().poll(&mut context).is_pending(), "flow 2 had two turns and flow 3 one");
        assert!(soon(first).await.is_some());
        drop((usual, low));
        assert!(soon(second).await.is_some());
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn only_who_is_over_its_share_runs_at_a_lower_priority() {
        let decoders = Decoders::new(2);
        let priority = || rustix::process::getpriority_process(None).unwrap();
        let usual = priority();
        for (flow, seconds) in [(1, 10), (2, 0)] {
            let took = Duration::from_millis(100) + Duration::from_secs(seconds);
            decoders.lock().lately.note(share(flow), took, Instant::now());
        }
        let light = decoders.place(share(2)).await.unwrap().run(priority).await.unwrap();
        let heavy = decoders.place(share(1)).await.unwrap().run(priority).await.unwrap();
        assert_eq!((light, heavy), (usual, usual.max(NICE)));
        assert_eq!(priority(), usual);
    }
}
