//! Whose turn it is on the process's GPUs.
//!
//! While a thread captures what a stream does as a CUDA graph, no other may allocate, free or copy there: CUDA fails them, and
//! the capture (`cudaStreamCaptureModeGlobal`, which ONNX Runtime asks for). So runs, copies, and programs that are made or
//! dropped hold a turn beside others, and a capture one alone. Nobody takes a second turn while holding one. What a device has
//! from its start to its end is made and dropped without: nothing is captured then.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};

/// Turns of one process.
#[derive(Clone, Default)]
pub(super) struct Captures(Arc<RwLock<()>>);

/// A turn, until it is dropped.
pub(super) enum Turn<'a> {
    /// Beside others.
    Beside { _held: RwLockReadGuard<'a, ()> },
    /// Alone.
    Alone { _held: RwLockWriteGuard<'a, ()> },
}

impl Captures {
    /// A turn beside others. Waits until nothing is captured.
    pub(super) fn beside(&self) -> Turn<'_> {
        Turn::Beside { _held: self.0.read().unwrap_or_else(PoisonError::into_inner) }
    }

    /// A turn alone; none while anybody has one. Whoever waited for it would keep all others waiting, for as long as a program is
    /// being made.
    pub(super) fn alone(&self) -> Option<Turn<'_>> {
        match self.0.try_write() {
            Ok(held) => Some(Turn::Alone { _held: held }),
            Err(TryLockError::Poisoned(held)) => Some(Turn::Alone { _held: held.into_inner() }),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_for_a_turn_alone() {
        let captures = Captures::default();
        let other = captures.clone();
        let beside = captures.beside();
        assert!(other.alone().is_none());
        drop(beside);
        let alone = other.alone();
        assert!(alone.is_some() && captures.alone().is_none());
    }
}
