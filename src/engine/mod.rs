//! The engine: rows in, logits out. Worker threads own the device; everyone else holds an [`Engine`].
//!
//! ```text
//! admit (permit) -> submit (row) -> queue -> batch -> program -> heads -> oneshot
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `row`, `pixels`, `image_key`, `error` | what goes in and comes out |
//! | `canvas` | memory that decoders write images to |
//! | `turns`, `queue`, `load`, `speed`, `batch`, `fork`, `programs` | decisions. Pure: they take time as an argument and do no I/O |
//! | `inbox` | the one lock between handlers and workers |
//! | `admission`, `batches` | who gets in, and which rows run together |
//! | `depths` | rows whose heads read several depths |
//! | `worker`, `run`, `below`, `choose`, `ask` | the loop that owns the device, and what it does with a batch |
//! | `compiler` | the thread that makes programs, so that no request waits for one |
//! | `batch`, `padding`, `bank` | from rows to what a program is fed; packs' tensors that stay on the device |
//! | `lane`, `health`, `devices` | a device with what its workers share; whether it answers |
//! | `prefixes`, `states` | outputs of frozen blocks, kept for images on the host and on the device |
//! | `reply` | what whoever submits waits on; applies the head |
//! | `start`, `handle`, `threads` | [`Engine`], what begins and what ends with it |
//!
//! No thread of the engine awaits or touches the disk.

mod admission;
mod ask;
mod bank;
mod batch;
mod batches;
mod below;
mod canvas;
mod choose;
mod compiler;
mod depths;
mod devices;
mod error;
mod fork;
mod handle;
mod health;
mod image_key;
mod inbox;
mod lane;
mod load;
mod meter;
mod options;
mod padding;
mod pixels;
mod prefixes;
mod programs;
mod queue;
mod replays;
mod reply;
mod row;
mod run;
mod speed;
mod start;
mod states;
mod threads;
mod turns;
mod worker;

pub use canvas::Canvas;
pub use error::Error;
pub use handle::Engine;
pub use image_key::ImageKey;
pub use inbox::Permit;
pub use load::Want;
pub use meter::{Cost, Meter};
pub use options::{EngineOptions, bank_bytes, states_bytes, workers};
pub use pixels::{Pixels, Samples};
pub(crate) use queue::{Charge, Queue, Taken};
pub use reply::Reply;
pub use row::{Answer, Flow, Priority, Row, Share, SharedBlocks};
