//! `ModelReady`.

use super::asked::{Asked, version};
use crate::grpc::door::Door;
use crate::grpc::messages::{ModelReadyRequest, ModelReadyResponse};
use crate::service::{Code, Error};

pub(super) async fn answer(door: Door, asked: Asked<ModelReadyRequest>) -> Result<ModelReadyResponse, Error> {
    let Asked { message: ModelReadyRequest { name, version: wanted }, caller, .. } = asked;
    match door.protocol.model_ready(&caller, &name, version(&wanted)).await {
        Ok(()) => Ok(ModelReadyResponse { ready: true }),
        Err(error) if error.code() == Code::NotReady => Ok(ModelReadyResponse { ready: false }),
        Err(error) => Err(error),
    }
}
