//! Graphs as values: built in Rust, checked as they are wired, written out as ONNX bytes.
//!
//! A [`Wire`] is a small `Copy` handle; every wire carries a [`Fact`] (dtype and shape), so that a mistake is
//! caught where it is made, by the name of its node. [`ops`] holds one operator a file. Each family's file reads
//! like its paper (`vit`, `swin`); `layers` holds what families share, and `architecture` puts a family's parts together
//! over a plan's blocks. [`Plan`] says what a graph must hold; [`onnx`] writes it. [`gradients`] walks a graph
//! backwards, [`training`] makes a whole step of it, [`quantised`] puts integers where a graph multiplies by
//! frozen matrices, and [`halved`] 16-bit floats.
//!
//! # Shape letters
//!
//! B rows, N tokens, D width, H heads, R adapter width, C classes, S image side.
//!
//! # Cost
//!
//! A multiply-add counts as 2 FLOPs. Only matrix products and convolutions are counted, as is usual for
//! transformers; norms, softmax and additions are below one per cent.

mod architecture;
mod build;
mod builder;
mod constant;
mod cost;
mod cvt;
mod error;
mod fact;
mod gradient;
mod halve;
mod layers;
mod memory;
mod names;
pub mod onnx;
pub mod ops;
mod parameter;
mod parts;
mod plan;
mod quantise;
mod swin;
pub mod training;
mod vit;

pub use build::{build, plan_flops};
pub use builder::{Gradients, Graph, Node, Operator, Wire};
pub use constant::Constant;
pub use cost::adapter_flops;
pub use error::Error;
pub use fact::{DType, Dim, Fact};
pub use gradient::gradients;
pub use halve::halved;
pub use names::{FEATURES, HIDDEN, HIDDEN_OUT, PIXELS, down_input, up_input};
pub use parameter::{ParameterName, Projection};
pub use plan::Plan;
pub(crate) use quantise::ZERO;
pub use quantise::{Bytes, Derived, Quantised, WeightRange, derived, quantise, quantised};
