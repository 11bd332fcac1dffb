//! Health, reflection, and what the door says to whom.

use std::time::Duration;

use mimi_server::grpc::messages::{ServerLiveRequest, ServerReadyRequest};
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::{channel, client};
use crate::server::World;

/// One port: the same connection's server answers gRPC, and HTTP/1.1 beside it.
#[tokio::test(flavor = "multi_thread")]
async fn one_port_serves_both() {
    let world = World::new();
    let running = world.start().await;
    let mut client = client(&running).await;
    assert!(client.server_live(ServerLiveRequest {}).await.unwrap().into_inner().live);
    assert!(client.server_ready(ServerReadyRequest {}).await.unwrap().into_inner().ready);
    let address = running.address;
    let plain = tokio::task::spawn_blocking(move || {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    });
    assert!(plain.await.unwrap().starts_with("HTTP/1.1 200"));
    running.end().await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_told_for_the_server_and_each_service() {
    let world = World::new();
    let running = world.start().await;
    let mut health = HealthClient::new(channel(&running).await);
    for name in ["", "inference.GRPCInferenceService", "grpc.health.v1.Health"] {
        let answer = health.check(HealthCheckRequest { service: name.into() }).await.unwrap();
        assert_eq!(answer.into_inner().status(), ServingStatus::Serving, "{name:?}");
    }
    let unknown = health.check(HealthCheckRequest { service: "other".into() }).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    let watch = health.watch(HealthCheckRequest::default()).await.unwrap_err();
    assert_eq!(watch.code(), Code::Unimplemented);
    running.end().await.unwrap().unwrap();
}

/// What tools ask that have no description of the protocol.
#[tokio::test(flavor = "multi_thread")]
async fn reflection_names_the_services_and_describes_them() {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

    let world = World::new();
    let running = world.start().await;
    let mut reflection = ServerReflectionClient::new(channel(&running).await);
    let mut ask = async |message_request| {
        let request =
            ServerReflectionRequest { message_request: Some(message_request), ..Default::default() };
        let mut answers =
            reflection.server_reflection_info(futures::stream::iter([request])).await.unwrap().into_inner();
        answers.message().await.map(|answer| answer.unwrap().message_response.unwrap())
    };
    let MessageResponse::ListServicesResponse(listed) =
        ask(MessageRequest::ListServices(String::new())).await.unwrap()
    else {
        panic!("no list");
    };
    let names: Vec<&str> = listed.service.iter().map(|service| service.name.as_str()).collect();
    assert!(names.contains(&"inference.GRPCInferenceService") && names.contains(&"grpc.health.v1.Health"));
    let method = "inference.GRPCInferenceService.ModelInfer";
    let described = ask(MessageRequest::FileContainingSymbol(method.into())).await.unwrap();
    let MessageResponse::FileDescriptorResponse(file) = described else { panic!("no description") };
    let file: prost_types::FileDescriptorProto =
        prost::Message::decode(&file.file_descriptor_proto[0][..]).unwrap();
    assert_eq!(file.package(), "inference");
    let unknown = ask(MessageRequest::FileContainingSymbol("inference.Nothing".into())).await;
    assert_eq!(unknown.unwrap_err().code(), Code::NotFound);
    running.end().await.unwrap().unwrap();
}

/// Once the server ends nobody is sent here, by whichever door they ask.
#[tokio::test(flavor = "multi_thread")]
async fn a_draining_server_is_not_serving() {
    let world = World::new();
    let server = world.server().await;
    let app = server.app();
    server.service().set_ready(false);
    let mut health = HealthClient::with_origin(local(app.clone()), "http://localhost".parse().unwrap());
    let answer = health.check(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(answer.status(), ServingStatus::NotServing);
    let mut client =
        super::GrpcInferenceServiceClient::with_origin(local(app), "http://localhost".parse().unwrap());
    assert!(!client.server_ready(ServerReadyRequest {}).await.unwrap().into_inner().ready);
    assert!(client.server_live(ServerLiveRequest {}).await.unwrap().into_inner().live);
}

/// The doors without a socket.
fn local(app: axum::Router) -> axum::Router {
    app
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clients_own_name_for_its_request_comes_back() {
    let world = World::new();
    let running = world.start().await;
    let mut client = client(&running).await;
    for (id, told) in [("abc-1", true), (&"x".repeat(128), true), (&"x".repeat(129), false)] {
        let mut request = Request::new(ServerLiveRequest {});
        request.metadata_mut().insert("x-request-id", id.parse().unwrap());
        let answer = client.server_live(request).await.unwrap();
        let back = answer.metadata().get("x-request-id").unwrap().to_str().unwrap();
        // A name that is too long is replaced by one made up.
        assert!((back == id) == told && back.len() <= 128, "{id}: {back}");
    }
    running.end().await.unwrap().unwrap();
}
