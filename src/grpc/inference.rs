//! `inference.GRPCInferenceService`: one method a file. A task is a model, as everywhere in this protocol.

mod asked;
mod config;
mod contents;
mod index;
mod infer;
mod load;
mod metadata;
mod parameters;
mod ready;
mod statistics;

use tonic::codec::CompressionEncoding;
use tonic::{Request, Response, Status};

use super::door::Door;
use super::messages::grpc_inference_service_server::{GrpcInferenceService, GrpcInferenceServiceServer};
use super::messages::*;

pub(super) fn service(door: Door) -> GrpcInferenceServiceServer<Door> {
    let limit = door.options.payload_limit;
    GrpcInferenceServiceServer::new(door)
        .max_decoding_message_size(limit)
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip)
}

#[tonic::async_trait]
impl GrpcInferenceService for Door {
    async fn server_live(
        &self,
        _: Request<ServerLiveRequest>,
    ) -> Result<Response<ServerLiveResponse>, Status> {
        Ok(Response::new(ServerLiveResponse { live: self.protocol.is_live() }))
    }

    async fn server_ready(
        &self,
        _: Request<ServerReadyRequest>,
    ) -> Result<Response<ServerReadyResponse>, Status> {
        Ok(Response::new(ServerReadyResponse { ready: self.protocol.is_ready() }))
    }

    async fn server_metadata(
        &self,
        _: Request<ServerMetadataRequest>,
    ) -> Result<Response<ServerMetadataResponse>, Status> {
        Ok(Response::new(metadata::server(self)))
    }

    async fn model_ready(
        &self,
        request: Request<ModelReadyRequest>,
    ) -> Result<Response<ModelReadyResponse>, Status> {
        self.read(request, ready::answer).await
    }

    async fn model_metadata(
        &self,
        request: Request<ModelMetadataRequest>,
    ) -> Result<Response<ModelMetadataResponse>, Status> {
        self.read(request, metadata::answer).await
    }

    async fn model_config(
        &self,
        request: Request<ModelConfigRequest>,
    ) -> Result<Response<ModelConfigResponse>, Status> {
        self.read(request, config::answer).await
    }

    async fn model_statistics(
        &self,
        request: Request<ModelStatisticsRequest>,
    ) -> Result<Response<ModelStatisticsResponse>, Status> {
        self.read(request, statistics::answer).await
    }

    async fn model_infer(
        &self,
        request: Request<ModelInferRequest>,
    ) -> Result<Response<ModelInferResponse>, Status> {
        infer::answer(self, request).await
    }

    async fn repository_index(
        &self,
        request: Request<RepositoryIndexRequest>,
    ) -> Result<Response<RepositoryIndexResponse>, Status> {
        self.read(request, index::answer).await
    }

    async fn repository_model_load(
        &self,
        request: Request<RepositoryModelLoadRequest>,
    ) -> Result<Response<RepositoryModelLoadResponse>, Status> {
        self.change(request, |asked| load::name(&asked.repository_name, &asked.model_name), load::load).await
    }

    async fn repository_model_unload(
        &self,
        request: Request<RepositoryModelUnloadRequest>,
    ) -> Result<Response<RepositoryModelUnloadResponse>, Status> {
        self.change(request, |asked| load::name(&asked.repository_name, &asked.model_name), load::unload)
            .await
    }
}
