//! ONNX Runtime, behind our own types. The only folder that names `ort`.
//!
//! * [`Runtime`] is the library, its one environment (thread pool, scratch arena) and the chosen device.
//! * [`WeightStore`] holds the backbone's weights once, however many programs read them.
//! * [`Resident`] is a backbone made ready: runtime, weights and description, from which programs are compiled.
//! * [`Program`] is a graph compiled over those weights, run by one thread at a time.
//! * [`DeviceMemory`] makes tensors that stay on the device from run to run; [`HostMemory`] makes lists that it reads.
//! * [`Expander`] makes the served tensors of packs that keep smaller ones, by such programs.
//!
//! `unsafe` lives here alone: mapping the weights file, handing its memory to ONNX Runtime without a copy, writing to
//! tensors on the device, registering the shared arena, which the `ort` crate does not wrap, and setting what a process has once (its heap, its
//! environment).

mod captures;
mod device;
#[allow(unsafe_code)]
mod device_tensor;
mod element;
mod environment;
mod error;
mod expander;
mod feeds;
mod graphs;
mod halved;
#[allow(unsafe_code)]
mod host_memory;
mod kernel;
mod mapped;
#[allow(unsafe_code)]
mod memory;
mod outputs;
mod probe;
#[allow(unsafe_code)]
mod process;
mod program;
mod quantised;
mod resident;
mod rounding;
mod served;
mod store;
mod upload;

pub use device::Device;
pub use device_tensor::{AnyTensor, DeviceMemory, DeviceTensor};
pub use element::Element;
pub use environment::{Runtime, RuntimeOptions};
pub use error::Error;
pub use expander::Expander;
pub use feeds::{Held, HeldInput, HeldOutput, Input};
pub use host_memory::{HostList, HostMemory};
pub use kernel::{Factors, integer_sums};
pub use outputs::{Output, Outputs};
pub use process::{CUBLAS_WORKSPACES, disable_telemetry, share_heaps, small_workspaces};
pub use program::Program;
pub(crate) use program::Replayed;
pub use resident::Resident;
pub use rounding::rounding;
pub use served::Served;
pub use store::{WeightOptions, WeightStore};
