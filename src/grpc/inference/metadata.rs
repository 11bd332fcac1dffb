//! `ServerMetadata`, `ModelMetadata`.

use super::asked::{Asked, version};
use crate::grpc::door::Door;
use crate::grpc::messages::model_metadata_response::TensorMetadata;
use crate::grpc::messages::{ModelMetadataRequest, ModelMetadataResponse, ServerMetadataResponse};
use crate::oip::{self, ModelMetadata};
use crate::service::Error;

pub(super) fn server(door: &Door) -> ServerMetadataResponse {
    let server = door.protocol.server();
    ServerMetadataResponse {
        name: server.name.to_owned(),
        version: server.version.to_owned(),
        extensions: server.extensions.iter().map(|&extension| extension.to_owned()).collect(),
    }
}

pub(super) async fn answer(
    door: Door,
    asked: Asked<ModelMetadataRequest>,
) -> Result<ModelMetadataResponse, Error> {
    let Asked { message: ModelMetadataRequest { name, version: wanted }, caller, .. } = asked;
    let told = door.protocol.model(&caller, &name, version(&wanted)).await?;
    let ModelMetadata { name, versions, platform, inputs, outputs, .. } = told;
    Ok(ModelMetadataResponse {
        name,
        versions,
        platform: platform.to_owned(),
        inputs: inputs.into_iter().map(tensor).collect(),
        outputs: outputs.into_iter().map(tensor).collect(),
    })
}

fn tensor(told: oip::TensorMetadata) -> TensorMetadata {
    let oip::TensorMetadata { name, datatype, shape } = told;
    TensorMetadata { name: name.to_owned(), datatype: datatype.to_string(), shape }
}
