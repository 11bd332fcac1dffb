//! The gRPC door.

mod clients;
mod descriptor;
mod doors;
pub mod hostile;
pub mod infer;

use mimi_server::grpc::messages::grpc_inference_service_client::GrpcInferenceServiceClient;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::server::Running;

pub type Client = GrpcInferenceServiceClient<Channel>;

/// A connection to a server.
pub async fn channel(running: &Running) -> Channel {
    let endpoint = Endpoint::try_from(format!("http://{}", running.address)).unwrap();
    endpoint.connect().await.unwrap()
}

pub async fn client(running: &Running) -> Client {
    Client::new(channel(running).await)
}

/// A message with a key.
pub fn with_key<T>(message: T, key: Option<&str>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(key) = key {
        request.metadata_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
    }
    request
}

/// The status of an answer.
pub fn status<T>(answer: &Result<T, Status>) -> tonic::Code {
    answer.as_ref().map_or_else(Status::code, |_| tonic::Code::Ok)
}
