//! The engine: rows in, logits out. Worker threads own the device; everyone else holds an [`Engine`].
//!
//! ```text
//! admit (permit) -> submit (row) -> queue -> batch -> program -> heads -> oneshot
//! ```
//!
//! `queue`, `batch`, `fork` and `programs` decide and are pure: they take time as an argument and do no I/O.
//! `prefixes` keeps what frozen blocks gave for images.
//! `inbox` is the one lock between handlers and workers, `worker` the loop, `run` what it does with a batch, `compiler` the thread that makes
//! programs so that nothing is compiled on a request's path. Neither thread awaits or touches the disk.

mod batch;
mod compiler;
mod error;
mod fork;
mod handle;
mod inbox;
mod prefixes;
mod programs;
mod queue;
mod run;
mod worker;

pub use error::Error;
pub use handle::{Engine, EngineOptions};
pub use inbox::{Answer, Permit, Row};
pub use prefixes::ImageKey;
