//! The engine: rows in, logits out. Worker threads own the device; everyone else holds an [`Engine`].
//!
//! ```text
//! admit (permit) -> submit (row) -> queue -> batch -> program -> heads -> oneshot
//! ```
//!
//! `queue`, `batch` and `programs` decide and are pure: they take time as an argument and do no I/O.
//! `inbox` is the one lock between handlers and workers, `worker` the loop, `compiler` the thread that makes
//! programs so that nothing is compiled on a request's path. Neither thread awaits or touches the disk.

mod batch;
mod compiler;
mod error;
mod handle;
mod inbox;
mod programs;
mod queue;
mod worker;

pub use error::Error;
pub use handle::{Engine, EngineOptions, Parts};
pub use inbox::{Answer, Permit, Row};
