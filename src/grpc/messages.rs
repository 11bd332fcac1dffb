//! The protocol's messages, as `proto/inference.proto` describes them.
#![allow(missing_docs, clippy::all)]

tonic::include_proto!("inference");

/// The protocol's description, as reflection tells it.
pub const DESCRIPTION: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/inference.bin"));
