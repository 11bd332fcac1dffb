//! The one integration binary.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

/// A tiny backbone, packs made in code, a runtime, fixtures.
mod support;

/// Layers and invariants of the code map.
mod architecture;
/// Mixed batches equal rows alone; covering programs equal exact ones.
mod batching;
/// Imported checkpoints give PyTorch's numbers.
mod reference;
