//! The Open Inference Protocol, version 2, without a transport: tensors in, tensors out.
//!
//! A door (REST, gRPC) reads its own encoding into these types, and writes them out again. What they mean is here: a
//! model is a task, a request becomes what the service is asked, an answer becomes tensors. Failures are the service's.
//!
//! | file | holds |
//! |---|---|
//! | `datatype`, `tensor`, `parameters` | the protocol's values |
//! | `request`, `response` | what goes in and comes out of an inference |
//! | `pictures` | tensors to images |
//! | `outputs` | logits and features to tensors |
//! | `protocol` | [`Protocol`]: what doors hold; models and their versions |
//! | `infer` | one inference |
//! | `metadata`, `configuration` | what a model takes and gives |
//! | `repository` | what there is, loading and unloading |
//! | `statistics` | what models did |

mod configuration;
mod datatype;
mod infer;
mod metadata;
mod outputs;
mod parameters;
mod pictures;
mod protocol;
mod repository;
mod request;
mod response;
mod statistics;
mod tensor;

pub use configuration::{ConfigInput, ConfigOutput, ModelConfig};
pub use datatype::Datatype;
pub use metadata::{EXTENSIONS, ModelMetadata, ServerMetadata, TensorMetadata};
pub use parameters::{Parameter, Parameters};
pub use protocol::Protocol;
pub use repository::{FILE, IndexEntry, ModelState, UploadedFile};
pub use request::{Arrived, InferRequest, RequestedOutput};
pub use response::{InferResponse, Inferred};
pub use statistics::{BatchStatistics, ModelStatistics, Phases};
pub use tensor::{Data, Tensor, wrong as wrong_tensor};
