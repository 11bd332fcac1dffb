//! What a row cost, told to who pays for it.

use std::time::Duration;

/// Is told what a row cost when it has run, whether anybody still waits for its answer or not.
pub trait Meter: Send + Sync {
    /// The row has run. Called on the engine's thread: it must not wait.
    fn ran(&self, cost: Cost);
}

/// What one row cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Floating-point operations that were computed for it, a multiply-add counting as 2.
    pub flops: u64,
    /// Its part of the time that the device worked on its batch.
    pub device: Duration,
}
