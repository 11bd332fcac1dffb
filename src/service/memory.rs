//! Memory that all requests hold together: bodies as they come, images as they are decoded.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::error::Error;
use crate::metrics::Metrics;

/// The account of all requests.
pub struct Memory {
    state: Mutex<State>,
    freed: Notify,
    limit: u64,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct State {
    held: u64,
    decoding: usize,
}

/// Memory held by one request; given back when dropped.
pub struct Held {
    memory: Arc<Memory>,
    bytes: u64,
    is_decoding: bool,
}

impl Memory {
    /// An account that refuses to hold more than `limit` bytes.
    pub fn new(limit: u64, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), freed: Notify::new(), limit, metrics })
    }

    /// Memory of one request, none yet.
    pub fn hold(self: &Arc<Self>) -> Held {
        Held { memory: Arc::clone(self), bytes: 0, is_decoding: false }
    }

    /// Waits until an image that takes `bytes` may be decoded. Only other images are waited for: bodies wait for images.
    pub(super) async fn decoding(self: &Arc<Self>, bytes: u64) -> Held {
        loop {
            let freed = self.freed.notified();
            let mut freed = std::pin::pin!(freed);
            // Registered before looking, so that what is freed in between is not missed.
            freed.as_mut().enable();
            if let Some(held) = self.try_decoding(bytes) {
                return held;
            }
            freed.await;
        }
    }

    fn try_decoding(self: &Arc<Self>, bytes: u64) -> Option<Held> {
        // One image that may need more than all there is leaves half of it to bodies.
        let bytes = bytes.min(self.limit / 2);
        let mut state = self.lock();
        if state.decoding > 0 && state.held.saturating_add(bytes) > self.limit {
            return None;
        }
        state.decoding += 1;
        self.add(&mut state, bytes);
        Some(Held { memory: Arc::clone(self), bytes, is_decoding: true })
    }

    fn add(&self, state: &mut State, bytes: u64) {
        state.held = state.held.saturating_add(bytes);
        self.metrics.request_bytes.set(i64::try_from(state.held).unwrap_or(i64::MAX));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// More memory of the same account, none yet.
    pub fn beside(&self) -> Self {
        self.memory.hold()
    }

    /// Takes more.
    ///
    /// # Errors
    /// [`Error::MemoryFull`] when all requests together would hold more than allowed.
    pub fn take(&mut self, bytes: usize) -> Result<(), Error> {
        let (memory, bytes) = (Arc::clone(&self.memory), bytes as u64);
        let mut state = memory.lock();
        let (held, limit) = (state.held, memory.limit);
        if held.saturating_add(bytes) > limit {
            return Err(Error::MemoryFull { held, asked: bytes, limit });
        }
        self.bytes += bytes;
        memory.add(&mut state, bytes);
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.memory.lock();
        state.held = state.held.saturating_sub(self.bytes);
        state.decoding -= usize::from(self.is_decoding);
        self.memory.add(&mut state, 0);
        drop(state);
        self.memory.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn memory(limit: u64) -> Arc<Memory> {
        Memory::new(limit, Arc::new(Metrics::new().unwrap()))
    }

    #[tokio::test]
    async fn f6_bodies_beyond_the_limit_are_refused_and_what_is_dropped_is_free_again() {
        let memory = memory(100);
        let (mut a, mut b) = (memory.hold(), memory.hold());
        a.take(60).unwrap();
        let refused = b.take(41).unwrap_err().to_string();
        assert!(refused.contains("41") && !refused.contains("60"), "others' bytes are told: {refused}");
        drop(a);
        b.take(100).unwrap();
        assert_eq!(memory.metrics.request_bytes.get(), 100);
        drop(b);
        assert_eq!(memory.metrics.request_bytes.get(), 0);
    }

    #[tokio::test]
    async fn f6_images_wait_for_each_other_and_never_for_bodies_alone() {
        let memory = memory(100);
        let mut body = memory.hold();
        body.take(100).unwrap();
        let first = memory.decoding(50).await;
        let soon = Duration::from_millis(20);
        assert!(tokio::time::timeout(soon, memory.decoding(1)).await.is_err());
        let second = tokio::spawn({
            let memory = Arc::clone(&memory);
            async move { drop(memory.decoding(1).await) }
        });
        tokio::task::yield_now().await;
        drop(first);
        second.await.unwrap();
    }
}
