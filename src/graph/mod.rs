//! Graphs as values: built in Rust, checked as they are wired, written out as ONNX bytes.
//!
//! | part | holds |
//! |---|---|
//! | [`Graph`], [`Wire`], [`Fact`], [`Operator`] | the graph; each wire carries dtype and shape, checked as it is made |
//! | [`ops`] | one operator a file: facts, attributes, gradient, cost |
//! | `layers`, `modules`, `parts` | what the families share, the forms of change, and what each family must give |
//! | [`Patches`] | patches embedded by one product |
//! | `vit`, `swin`, `cvt` | one family a file, reading like its paper |
//! | `depths` | what a head may read besides the pooled feature |
//! | [`Plan`], [`build`], `architecture` | what a graph must hold, and a family's parts put together over it |
//! | [`training`], `loss`, [`gradients`] | a whole training step, what it makes small, reverse mode |
//! | [`flat`], [`update`] | what is trained as one vector, and a step of the optimiser on it, so that both may stay on a device |
//! | [`activity_graph`] | a forward pass that gives what hidden neurons do |
//! | [`sampled`] | pixels made of bytes by a graph's first operators |
//! | [`spread`] | rows that go on from the states of their images |
//! | [`banked`] | modules' tensors taken from a bank on the device |
//! | [`quantised`], [`halved`] | 8-bit integers in the products with frozen matrices; spans in 16-bit floats, which `spans` finds |
//! | [`onnx`] | the bytes of an ONNX model |
//!
//! # Shape letters
//!
//! B rows, N tokens, D width, H heads, R adapter width, C classes, S image side.
//!
//! # Cost
//!
//! A multiply-add counts as 2 FLOPs. Only matrix products and convolutions are counted, as is usual for
//! transformers; norms, softmax and additions are below one per cent.

mod activity;
mod architecture;
mod bank;
mod build;
mod builder;
mod capturable;
mod constant;
mod cost;
mod cvt;
mod depths;
mod error;
mod express;
mod fact;
pub mod flat;
mod gated;
mod gradient;
mod halve;
mod label;
mod layers;
mod loss;
mod memory;
mod modules;
mod names;
pub mod onnx;
pub mod ops;
mod parameter;
mod parts;
mod patches;
mod plan;
mod prefix;
mod prompts;
mod quantise;
mod samples;
mod spans;
mod spread;
mod swin;
mod tasks;
pub mod training;
mod uniform;
pub mod update;
mod vit;

pub use activity::{active_output, activity_graph, entering_output};
pub use bank::{SLOTS, bank_input, banked};
pub use build::{build, plan_flops};
pub use builder::{Gradients, Graph, Node, Operator, Wire};
pub use capturable::capturable;
pub use constant::Constant;
pub use cost::module_flops;
pub use error::Error;
pub use express::{Direct, Express, SERVED, Trained, expression, trained};
pub use fact::{DType, Dim, Fact};
pub use gated::Gated;
pub use gradient::gradients;
pub use halve::halved;
pub use label::Label;
pub use layers::{KEEP, keep_input};
pub use names::{FEATURES, HIDDEN, HIDDEN_OUT, PIXELS};
pub use parameter::ParameterName;
pub use patches::{Patches, as_read};
pub use plan::Plan;
pub(crate) use quantise::ZERO;
pub use quantise::{Bytes, Derived, Quantised, WeightRange, derived, quantise, quantised};
pub use samples::{MEAN, PREPARED, SAMPLES, STD, sampled, sampled_alone};
pub use spread::{IMAGES, STATES, spread};
pub use tasks::tasks_flops;
pub use uniform::{Fed, uniform};
