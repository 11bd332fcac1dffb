//! `inference.GRPCInferenceService`: one method a file. A task is a model, as everywhere in this protocol.

mod config;
mod contents;
mod index;
mod infer;
mod load;
mod metadata;
mod parameters;
mod ready;
mod statistics;

use std::future::Future;

use tonic::codec::CompressionEncoding;
use tonic::{Request, Response, Status};

use super::Door;
use super::messages::grpc_inference_service_server::{GrpcInferenceService, GrpcInferenceServiceServer};
use super::messages::*;
use super::receive::Arrival;
use super::status::failed;
use crate::service::{Code, Error};
use crate::tenants::Caller;

pub(super) fn service(door: Door) -> GrpcInferenceServiceServer<Door> {
    let limit = door.options.payload_limit;
    GrpcInferenceServiceServer::new(door)
        .max_decoding_message_size(limit)
        .accept_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Gzip)
}

/// A message with who sent it, and when.
struct Asked<M> {
    message: M,
    caller: Caller,
    arrival: Arrival,
}

impl<M> Asked<M> {
    /// Takes apart what the layers have put together; without them nobody is let in.
    fn of(request: Request<M>) -> Result<Self, Error> {
        let extensions = request.extensions();
        let caller = extensions.get::<Caller>().cloned().ok_or(Error::Unauthenticated)?;
        let arrival = extensions.get::<Arrival>().cloned().ok_or(Error::Unauthenticated)?;
        Ok(Self { message: request.into_inner(), caller, arrival })
    }
}

impl Door {
    /// Answers a method that is about one task, and counts it.
    async fn about<M, A, F: Future<Output = Result<A, Error>>>(
        &self,
        request: Request<M>,
        task: impl FnOnce(&M) -> &str,
        method: impl FnOnce(Self, Asked<M>) -> F,
    ) -> Result<Response<A>, Status> {
        let asked = Asked::of(request).map_err(|error| failed(&error))?;
        let (task, caller) = (task(&asked.message).to_owned(), asked.caller.clone());
        let deadline = asked.arrival.deadline;
        let answered = tokio::time::timeout_at(deadline.into(), method(self.clone(), asked)).await;
        let answered = answered.unwrap_or_else(|_| Err(Error::late()));
        self.service.count(Some(&caller), &task, answered.as_ref().map_or_else(Error::code, |_| Code::Ok));
        answered.map(Response::new).map_err(|error| failed(&error))
    }
}

/// A version as it is asked for; the empty one is any.
fn version(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

#[tonic::async_trait]
impl GrpcInferenceService for Door {
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
        self.about(request, |asked| &asked.name, ready::answer).await
    }

    async fn model_metadata(
        &self,
        request: Request<ModelMetadataRequest>,
    ) -> Result<Response<ModelMetadataResponse>, Status> {
        self.about(request, |asked| &asked.name, metadata::answer).await
    }

    async fn model_config(
        &self,
        request: Request<ModelConfigRequest>,
    ) -> Result<Response<ModelConfigResponse>, Status> {
        self.about(request, |asked| &asked.name, config::answer).await
    }

    async fn model_statistics(
        &self,
        request: Request<ModelStatisticsRequest>,
    ) -> Result<Response<ModelStatisticsResponse>, Status> {
        self.about(request, |asked| &asked.name, statistics::answer).await
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
        self.about(request, |_| "", index::answer).await
    }

    async fn repository_model_load(
        &self,
        request: Request<RepositoryModelLoadRequest>,
    ) -> Result<Response<RepositoryModelLoadResponse>, Status> {
        self.about(request, |asked| load::name(&asked.repository_name, &asked.model_name), load::load).await
    }

    async fn repository_model_unload(
        &self,
        request: Request<RepositoryModelUnloadRequest>,
    ) -> Result<Response<RepositoryModelUnloadResponse>, Status> {
        self.about(request, |asked| load::name(&asked.repository_name, &asked.model_name), load::unload).await
    }
}
