//! `grpc.reflection.v1`: what this door offers, for tools that have no description of it.

use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};
use tonic_reflection::server::{Builder, Error};

use super::messages::DESCRIPTION;

/// Largest question: it holds a name.
const LIMIT: usize = 4 << 10;

pub(super) fn service() -> Result<ServerReflectionServer<impl ServerReflection>, Error> {
    let builder = Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTION)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
    Ok(builder.build_v1()?.max_decoding_message_size(LIMIT))
}
