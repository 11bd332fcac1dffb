//! The engine: rows in, logits out. Worker threads own the device; everyone else holds an [`Engine`].
//!
//! ```text
//! admit (permit) -> submit (row) -> queue -> batch -> program -> heads -> oneshot
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `row`, `image_key`, `error` | what goes in and comes out |
//! | `turns`, `queue`, `load`, `speed`, `batch`, `fork`, `programs` | decisions. Pure: they take time as an argument and do no I/O |
//! | `inbox` | the one lock between handlers and workers |
//! | `admission`, `batches` | who gets in, and which rows run together |
//! | `worker`, `run` | the loop that owns the device, and what it does with a batch |
//! | `compiler` | the thread that makes programs, so that no request waits for one |
//! | `prefixes` | outputs of frozen blocks, kept for images |
//! | `handle` | [`Engine`] |
//!
//! No thread of the engine awaits or touches the disk.

mod admission;
mod batch;
mod batches;
mod compiler;
mod error;
mod fork;
mod handle;
mod image_key;
mod inbox;
mod load;
mod meter;
mod prefixes;
mod programs;
mod queue;
mod row;
mod run;
mod speed;
mod turns;
mod worker;

pub use error::Error;
pub use handle::{Engine, EngineOptions};
pub use image_key::ImageKey;
pub use inbox::Permit;
pub use load::Want;
pub use meter::{Cost, Meter};
pub(crate) use queue::{Charge, Queue, Taken};
pub use row::{Answer, Flow, Row, Share, SharedBlocks};
