//! `grpc.health.v1`: whether to send requests, for the whole server and for each of its services.

use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::door::Door;
use super::status::refuse;
use crate::service::{Code, Refusal};
use crate::text::brief;

/// The whole server, and its services by name.
const KNOWN: [&str; 4] =
    ["", "inference.GRPCInferenceService", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"];
/// Largest message: it holds a name.
const LIMIT: usize = 4 << 10;

pub(super) fn service(door: Door) -> HealthServer<Check> {
    HealthServer::new(Check(door)).max_decoding_message_size(LIMIT)
}

pub(super) struct Check(Door);

#[tonic::async_trait]
impl Health for Check {
    type WatchStream = futures::stream::Empty<Result<HealthCheckResponse, Status>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let name = &request.get_ref().service;
        if !KNOWN.contains(&name.as_str()) {
            let name = brief(name);
            return Err(refuse(Refusal::new(Code::TaskNotFound, format!("there is no service {name:?}"))));
        }
        let status =
            if self.0.service.is_ready() { ServingStatus::Serving } else { ServingStatus::NotServing };
        Ok(Response::new(HealthCheckResponse { status: status.into() }))
    }

    /// Not offered, which clients read as healthy: a stream for each of them would hold a place for ever.
    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(refuse(Refusal::new(Code::NotFound, "Watch is not offered; call Check")))
    }
}
