//! Memory that all requests hold together: bodies as they come, images as they are decoded.
//!
//! Bodies of a flow may take up to [`ALPHA`] times the free memory, as rows do of places. So a flow alone leaves a fifth of
//! all for the next. The shared flow has all as long as no other flow ever came. Images wait, and go in turn between flows
//! by their bytes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::error::Error;
use crate::engine::{Charge, Flow, Queue, Share, Taken};
use crate::metrics::Metrics;
use crate::pack::TaskId;

/// Most images that go before one whose turn it is and that does not fit yet.
const MOST_PASSED: usize = 32;
/// Bytes a flow may hold for each free one.
const ALPHA: u64 = 4;

/// The account of all requests.
pub struct Memory {
    state: Mutex<State>,
    limit: u64,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct State {
    held: u64,
    decoding: usize,
    flows: HashMap<Flow, Part>,
    /// Whether a flow other than the shared one ever came.
    has_others: bool,
    waiting: Queue<Asked>,
    /// Images that went before the one whose turn it was, one after the other.
    passed: usize,
}

/// What a flow holds.
#[derive(Default)]
struct Part {
    bytes: u64,
    /// How many pieces of memory, empty ones too.
    pieces: usize,
    decoding: usize,
}

/// An image that waits.
struct Asked {
    share: Share,
    bytes: u64,
    give: oneshot::Sender<Held>,
}

/// Memory for an image, with who waits for it.
struct Granted {
    held: Held,
    give: oneshot::Sender<Held>,
}

/// Memory held by one request; given back when dropped.
pub struct Held {
    memory: Arc<Memory>,
    share: Share,
    bytes: u64,
    /// What an image was charged for its turn.
    charge: Option<Charge>,
}

impl Memory {
    /// An account that refuses to hold more than `limit` bytes.
    pub fn new(limit: u64, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), limit, metrics })
    }

    /// Memory of one request, none yet.
    pub fn hold(self: &Arc<Self>, share: Share) -> Held {
        let mut state = self.lock();
        state.has_others |= share.flow != Flow::SHARED;
        state.flows.entry(share.flow).or_default().pieces += 1;
        Held { memory: Arc::clone(self), share, bytes: 0, charge: None }
    }

    /// Waits until an image that takes `bytes` may be decoded. Only other images are waited for: bodies wait for images.
    pub(super) async fn decoding(self: &Arc<Self>, share: Share, bytes: u64) -> Result<Held, Error> {
        // One image that may need more than all there is leaves half of it to bodies.
        let bytes = bytes.min(self.limit / 2);
        let (give, receive) = oneshot::channel();
        self.lock().waiting.push(share, &TaskId::none(), bytes, Asked { share, bytes, give });
        self.hand_out();
        receive.await.map_err(|_| Error::Internal("no memory to decode in".into()))
    }

    /// Gives free memory to the images whose turn it is.
    fn hand_out(self: &Arc<Self>) {
        let granted = self.grant();
        // Whoever went away meanwhile drops the memory, which takes the lock: it is free here.
        granted.into_iter().for_each(|Granted { held, give }| drop(give.send(held)));
    }

    fn grant(self: &Arc<Self>) -> Vec<Granted> {
        let mut state = self.lock();
        drop(state.waiting.remove(|asked| asked.give.is_closed()));
        let mut granted = Vec::new();
        while let Some(Taken { row: Asked { share, bytes, give }, charge }) = state.next(self.limit) {
            state.decoding += 1;
            let part = state.flows.entry(share.flow).or_default();
            (part.pieces, part.decoding) = (part.pieces + 1, part.decoding + 1);
            self.add(&mut state, share.flow, bytes);
            let held = Held { memory: Arc::clone(self), share, bytes, charge: Some(charge) };
            granted.push(Granted { held, give });
        }
        granted
    }

    fn add(&self, state: &mut State, flow: Flow, bytes: u64) {
        state.held = state.held.saturating_add(bytes);
        let part = state.flows.entry(flow).or_default();
        part.bytes = part.bytes.saturating_add(bytes);
        self.show(state);
    }

    fn show(&self, state: &State) {
        self.metrics.requests.request_bytes.set(i64::try_from(state.held).unwrap_or(i64::MAX));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The image that gets memory next, if one does: the first in turn, or one of a flow that decodes nothing.
    fn next(&mut self, limit: u64) -> Option<Taken<Asked>> {
        let Self { held, decoding, flows, waiting, .. } = self;
        let (mut is_first, mut passes) = (true, false);
        let may_pass = self.passed < MOST_PASSED;
        let taken = waiting.take_next(|asked| {
            let is_turn = std::mem::take(&mut is_first);
            let is_idle = flows.get(&asked.share.flow).is_none_or(|part| part.decoding == 0);
            let fits = *decoding == 0 || held.saturating_add(asked.bytes) <= limit;
            passes = !is_turn;
            (is_turn || (is_idle && may_pass)) && fits
        });
        if taken.is_some() {
            self.passed = if passes { self.passed + 1 } else { 0 };
        }
        taken
    }

    /// Whether a body may take more.
    fn may_take(&self, held: &Held, bytes: u64, limit: u64) -> bool {
        let Some(free) = limit.checked_sub(self.held.saturating_add(bytes)) else { return false };
        let (own, pieces) = self.flows.get(&held.share.flow).map_or((0, 0), |part| (part.bytes, part.pieces));
        let is_alone = held.share.flow == Flow::SHARED && !self.has_others;
        // One request that fits is not refused for ever, however large it is; it may hold its body and what it parsed of it.
        let is_only = self.held == own && pieces <= 2;
        is_alone || is_only || own.saturating_add(bytes) <= free.saturating_mul(ALPHA)
    }
}

impl Held {
    /// More memory of the same account, none yet.
    pub fn beside(&self) -> Self {
        self.memory.hold(self.share)
    }

    /// Takes more.
    ///
    /// # Errors
    /// [`Error::MemoryFull`] when all requests together would hold more than allowed, or the flow more than its part.
    pub fn take(&mut self, bytes: usize) -> Result<(), Error> {
        let (memory, bytes) = (Arc::clone(&self.memory), bytes as u64);
        let mut state = memory.lock();
        if !state.may_take(self, bytes, memory.limit) {
            return Err(Error::MemoryFull { held: state.held, asked: bytes, limit: memory.limit });
        }
        self.bytes += bytes;
        memory.add(&mut state, self.share.flow, bytes);
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.memory.lock();
        state.held = state.held.saturating_sub(self.bytes);
        let decoded = usize::from(self.charge.is_some());
        state.decoding -= decoded;
        if let Some(part) = state.flows.get_mut(&self.share.flow) {
            part.bytes = part.bytes.saturating_sub(self.bytes);
            (part.pieces, part.decoding) = (part.pieces - 1, part.decoding - decoded);
            if part.pieces == 0 {
                state.flows.remove(&self.share.flow);
            }
        }
        if let Some(charge) = self.charge.take() {
            state.waiting.settle(charge, self.bytes);
        }
        self.memory.show(&state);
        drop(state);
        self.memory.hand_out();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn memory(limit: u64) -> Arc<Memory> {
        Memory::new(limit, Arc::new(Metrics::new().unwrap()))
    }

    fn share(flow: u64) -> Share {
        Share::new(Flow::new(flow), 1)
    }

    #[test]
    fn a_flow_leaves_bodies_of_others_memory() {
        let memory = memory(1000);
        let mut own: Vec<Held> = (0..40).map(|_| memory.hold(share(1))).collect();
        let taken = own.iter_mut().map(|held| held.take(50));
        assert_eq!(taken.filter(Result::is_ok).count(), 16, "four fifths");
        for flow in 2..5 {
            memory.hold(share(flow)).take(50).unwrap();
        }
        drop(own);
        let mut large = memory.hold(share(1));
        large.take(999).unwrap();
        large.take(2).unwrap_err();
        drop(large);
        assert!(memory.lock().flows.is_empty() && memory.lock().held == 0);
    }

    #[tokio::test]
    async fn images_go_by_turn_and_a_small_one_does_not_wait_for_a_large_one() {
        let memory = memory(100);
        let first = memory.decoding(share(1), 50).await.unwrap();
        let second = memory.decoding(share(1), 30).await.unwrap();
        let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
        for (flow, bytes) in [(1, 50), (1, 50), (2, 40), (3, 10)] {
            let (memory, told) = (Arc::clone(&memory), told.clone());
            tokio::spawn(async move {
                let held = memory.decoding(share(flow), bytes).await.unwrap();
                told.send((flow, held)).unwrap();
            });
            tokio::task::yield_now().await;
        }
        let (small, _held) = heard.recv().await.unwrap();
        assert_eq!(small, 3, "it fits");
        assert!(heard.try_recv().is_err());
        drop(first);
        let (next, held) = heard.recv().await.unwrap();
        assert_eq!(next, 2, "flow 1 had a turn and more");
        drop((second, held));
        let (last, _held) = heard.recv().await.unwrap();
        assert_eq!(last, 1);
    }

    #[tokio::test]
    async fn f6_bodies_beyond_the_limit_are_refused_and_what_is_dropped_is_free_again() {
        let memory = memory(100);
        let (mut a, mut b) = (memory.hold(Share::EVERYBODY), memory.hold(Share::EVERYBODY));
        a.take(60).unwrap();
        let refused = b.take(41).unwrap_err().to_string();
        assert!(refused.contains("41") && !refused.contains("60"), "others' bytes are told: {refused}");
        drop(a);
        b.take(100).unwrap();
        assert_eq!(memory.metrics.requests.request_bytes.get(), 100);
        drop(b);
        assert_eq!(memory.metrics.requests.request_bytes.get(), 0);
    }

    #[tokio::test]
    async fn f6_images_wait_for_each_other_and_never_for_bodies_alone() {
        let memory = memory(100);
        let mut body = memory.hold(Share::EVERYBODY);
        body.take(100).unwrap();
        let first = memory.decoding(Share::EVERYBODY, 50).await.unwrap();
        let soon = Duration::from_millis(20);
        assert!(tokio::time::timeout(soon, memory.decoding(Share::EVERYBODY, 1)).await.is_err());
        let second = tokio::spawn({
            let memory = Arc::clone(&memory);
            async move { drop(memory.decoding(Share::EVERYBODY, 1).await) }
        });
        tokio::task::yield_now().await;
        drop(first);
        second.await.unwrap();
    }
}
