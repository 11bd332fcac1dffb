//! `inference.GRPCInferenceService`: one method a file.

use tonic::codec::CompressionEncoding;
use tonic::{Request, Response, Status};

use super::Door;
use super::messages::grpc_inference_service_server::{GrpcInferenceService, GrpcInferenceServiceServer};
use super::messages::*;

pub(super) fn service(door: Door) -> GrpcInferenceServiceServer<Inference> {
    let limit = door.options.payload_limit;
    GrpcInferenceServiceServer::new(Inference { door })
        .max_decoding_message_size(limit)
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip)
}

pub(super) struct Inference {
    door: Door,
}

#[tonic::async_trait]
impl GrpcInferenceService for Inference {
    async fn server_live(
        &self,
        _: Request<ServerLiveRequest>,
    ) -> Result<Response<ServerLiveResponse>, Status> {
        Ok(Response::new(ServerLiveResponse { live: true }))
    }

    async fn server_ready(
        &self,
        _: Request<ServerReadyRequest>,
    ) -> Result<Response<ServerReadyResponse>, Status> {
        Ok(Response::new(ServerReadyResponse { ready: self.door.service.is_ready() }))
    }
}
