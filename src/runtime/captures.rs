//! Whose turn it is on the process's GPUs.
//!
//! While a thread captures what a stream does as a CUDA graph, no other may allocate, free or copy there: CUDA fails them, and
//! the capture (`cudaStreamCaptureModeGlobal`, which ONNX Runtime asks for). So everything else holds a turn beside others, and
//! a capture one alone. Nobody takes a second turn while holding one.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Turns of one process.
#[derive(Clone, Default)]
pub(super) struct Captures(Arc<RwLock<()>>);

/// A turn beside others.
pub(super) struct Turn<'a> {
    _held: RwLockReadGuard<'a, ()>,
}

/// A turn that nobody else has beside it.
pub(super) struct Alone<'a> {
    _held: RwLockWriteGuard<'a, ()>,
}

impl Captures {
    /// Waits until nothing is captured.
    pub(super) fn beside(&self) -> Turn<'_> {
        Turn { _held: self.0.read().unwrap_or_else(PoisonError::into_inner) }
    }

    /// Waits until nothing else uses a GPU.
    pub(super) fn alone(&self) -> Alone<'_> {
        Alone { _held: self.0.write().unwrap_or_else(PoisonError::into_inner) }
    }
}
