//! Whose turn it is on the process's GPUs.
//!
//! While a thread captures what a stream does as a CUDA graph, no other may allocate, free or copy there: CUDA fails them, and
//! the capture (`cudaStreamCaptureModeGlobal`, which ONNX Runtime asks for). So runs, copies, and programs that are made or
//! dropped hold a turn beside others, and a capture one alone. Nobody takes a second turn while holding one. What a device has
//! from its start to its end is made and dropped without: nothing is captured then. Nor do tensors that are dropped take one: their
//! memory goes back to an arena, which asks nothing of CUDA. A CPU captures nothing and takes no turns.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::Device;

/// Longest wait for a turn alone, in which nobody else gets a turn: runs end within it, and programs may take longer to make.
const WAIT: Duration = Duration::from_millis(250);

/// The turns of one process's GPUs.
#[derive(Clone, Default)]
pub(super) struct Captures {
    lock: Option<Arc<RwLock<()>>>,
}

/// A turn, until it is dropped.
pub(super) enum Turn<'a> {
    /// Beside others.
    Beside { _held: RwLockReadGuard<'a, ()> },
    /// Alone.
    Alone { _held: RwLockWriteGuard<'a, ()> },
    /// On a CPU.
    Free,
}

impl Captures {
    /// Those that a device takes, of a process's.
    pub(super) fn of(device: Device, lock: &Arc<RwLock<()>>) -> Self {
        Self { lock: device.is_apart().then(|| Arc::clone(lock)) }
    }

    /// A turn beside others. Waits until nothing is captured.
    pub(super) fn beside(&self) -> Turn<'_> {
        match &self.lock {
            Some(lock) => Turn::Beside { _held: lock.read() },
            None => Turn::Free,
        }
    }

    /// A turn alone; none where others still have theirs after a quarter of a second.
    pub(super) fn alone(&self) -> Option<Turn<'_>> {
        match &self.lock {
            Some(lock) => lock.try_write_for(WAIT).map(|held| Turn::Alone { _held: held }),
            None => Some(Turn::Free),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_capture_is_alone_and_waits_no_longer_than_so() {
        let captures = Captures::of(Device::Cuda(0), &Arc::default());
        let (other, beside) = (captures.clone(), captures.beside());
        let started = Instant::now();
        assert!(other.alone().is_none() && started.elapsed() >= WAIT);
        drop(beside);
        let alone = other.alone();
        assert!(alone.is_some() && captures.alone().is_none());
    }

    #[test]
    fn a_cpu_takes_no_turns() {
        let captures = Captures::of(Device::Cpu, &Arc::default());
        let _beside = captures.beside();
        assert!(captures.alone().is_some() && captures.alone().is_some());
    }
}
