//! The offline trainer: a folder of labelled images in, a pack out.
//!
//! Training runs through `ort` on the stock library: the networks are ordinary graphs, the optimiser is here.
//! (ONNX Runtime's own training packages ended with 1.19.2, so its training API cannot be used.)
//!
//! `dataset` finds and splits images, `features` runs the frozen backbone over them, `linear` fits a head,
//! `adamw` and `schedule` are the optimiser, `evaluate` measures a pack through the server's own engine.

mod adamw;
mod dataset;
mod evaluate;
mod features;
mod linear;
mod schedule;
mod self_test;
mod task;

pub use adamw::{AdamW, AdamWOptions};
pub use dataset::{Dataset, Image, Split};
pub use evaluate::{Evaluation, evaluate};
pub use features::{Extractor, Features};
pub use linear::{LinearOptions, fit};
pub use schedule::{Schedule, cosine_with_warmup};
pub use task::{Method, Report, TaskOptions, train};
