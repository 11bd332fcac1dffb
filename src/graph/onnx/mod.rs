//! Writing graphs as ONNX, and reading the parts of ONNX files that hold weights.
//!
//! The messages are the few of `onnx.proto3` that are needed, by field number; no compiler for the protocol
//! is involved.

mod attribute;
mod messages;
mod write;

pub use attribute::Attribute;
pub use messages::{
    AttributeProto, GraphProto, ModelProto, NodeProto, StringStringEntryProto, TensorProto, data_type,
};
pub use write::write;
