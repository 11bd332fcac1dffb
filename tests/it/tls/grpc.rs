//! gRPC behind TLS: the same port, the same certificates.

use hyper_util::rt::TokioIo;
use mimi_server::grpc::messages::grpc_inference_service_client::GrpcInferenceServiceClient;
use mimi_server::grpc::messages::{ModelReadyRequest, ServerReadyRequest};
use tonic::transport::{Channel, Endpoint, Error};
use tower::service_fn;

use super::Served;
use super::authority::{Authority, Files};
use super::client::Client;

/// A connection that speaks TLS as `client` does.
async fn channel(client: &Client<'_>, served: &Served) -> Result<Channel, Error> {
    let stream = client.connect(served.address).await.map(TokioIo::new);
    let mut stream = Some(stream);
    let connector = service_fn(move |_| {
        let stream = stream.take().unwrap_or_else(|| Err(std::io::Error::other("connected once")));
        async move { stream }
    });
    Endpoint::from_static("http://localhost").connect_with_connector(connector).await
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_answered_and_certificates_are_asked_for() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let files = Files::new(&servers.server());
    let mut options = files.with_clients(&clients);
    options.clients.as_mut().unwrap().required = true;
    let served = Served::start(options).await;
    let known = Client { protocols: vec!["h2"], ..Client::with(&servers, clients.client(1, |_| ())) };
    let mut client = GrpcInferenceServiceClient::new(channel(&known, &served).await.unwrap());
    assert!(client.server_ready(ServerReadyRequest {}).await.unwrap().into_inner().ready);
    let task = ModelReadyRequest { name: "one".into(), version: String::new() };
    assert!(client.model_ready(task).await.unwrap().into_inner().ready);
    // TLS 1.3 tells only with the first answer that a certificate is missing.
    let unknown = Client { protocols: vec!["h2"], ..Client::new(&servers) };
    if let Ok(channel) = channel(&unknown, &served).await {
        let mut client = GrpcInferenceServiceClient::new(channel);
        assert!(client.server_ready(ServerReadyRequest {}).await.is_err());
    }
    served.end().await;
}
