//! The outermost layer: what a method wants of its caller, and every refusal as trailers.

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};

use super::status;
use crate::service::{Code, Refusal};
use crate::tenants::{Need, Scope};

/// What every body of gRPC says it is.
const CONTENT_TYPE: &[u8] = b"application/grpc";

/// Methods and what they want. One that is not here wants its caller to be known: there is no such method.
const NEEDS: [(&str, Need); 14] = [
    ("/grpc.health.v1.Health/Check", Need::Nothing),
    ("/grpc.health.v1.Health/List", Need::Nothing),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Need::Nothing),
    ("/inference.GRPCInferenceService/ServerLive", Need::Nothing),
    ("/inference.GRPCInferenceService/ServerReady", Need::Nothing),
    ("/inference.GRPCInferenceService/ServerMetadata", Need::Nothing),
    ("/inference.GRPCInferenceService/ModelReady", Need::Scope(Scope::Read)),
    ("/inference.GRPCInferenceService/ModelMetadata", Need::Scope(Scope::Read)),
    ("/inference.GRPCInferenceService/ModelConfig", Need::Scope(Scope::Read)),
    ("/inference.GRPCInferenceService/ModelStatistics", Need::Scope(Scope::Read)),
    ("/inference.GRPCInferenceService/ModelInfer", Need::Scope(Scope::Infer)),
    ("/inference.GRPCInferenceService/RepositoryIndex", Need::Scope(Scope::Read)),
    ("/inference.GRPCInferenceService/RepositoryModelLoad", Need::Scope(Scope::Publish)),
    ("/inference.GRPCInferenceService/RepositoryModelUnload", Need::Scope(Scope::Publish)),
];

/// Puts the language of gRPC around routes and their gate.
pub fn speak(routes: Router) -> Router {
    routes.layer(from_fn(layer))
}

async fn layer(mut request: Request, next: Next) -> Response {
    if !is_grpc(request.headers()) {
        // By the protocol: nobody who does not speak it could read a status of it.
        return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
    }
    let path = request.uri().path();
    let need = NEEDS.iter().find(|(method, _)| *method == path).map_or(Need::Known, |(_, need)| *need);
    request.extensions_mut().insert(need);
    told(next.run(request).await)
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(|kind| kind.as_bytes());
    let rest = kind.and_then(|kind| kind.strip_prefix(CONTENT_TYPE));
    rest.is_some_and(|rest| rest.is_empty() || matches!(rest[0], b'+' | b';'))
}

/// An answer in the language of gRPC: a refusal of the gate is in that of HTTP until here.
fn told(response: Response) -> Response {
    if is_grpc(response.headers()) {
        return response;
    }
    let internal = || Refusal::new(Code::Internal, "the server could not answer; its log says why");
    let refusal = response.extensions().get::<Refusal>().cloned().unwrap_or_else(internal);
    let mut told = status::answer(refusal);
    // What is left of the caller's quota.
    let kept = response.headers().iter().filter(|(name, _)| {
        let name = name.as_str();
        name.starts_with("ratelimit-") || name.starts_with("x-mimi-")
    });
    told.headers_mut().extend(kept.map(|(name, value)| (name.clone(), value.clone())));
    told
}
