//! Failures in this protocol's form.

use axum::Json;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::service::Refusal;

/// Body of every failure under `/v2`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InferenceError)]
pub(crate) struct ErrorBody {
    /// What went wrong, for people.
    error: String,
}

/// The layer: failures under `/v2` say `{"error": ...}` and nothing else, whoever gave them.
pub(crate) async fn plain(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_ours = path == "/v2" || path.starts_with("/v2/");
    let mut response = next.run(request).await;
    let refusal = response.extensions().get::<Refusal>().filter(|_| is_ours);
    let Some(error) = refusal.map(|refusal| refusal.told.clone()) else { return response };
    let (parts, body) = Json(ErrorBody { error }).into_response().into_parts();
    for (name, value) in &parts.headers {
        response.headers_mut().insert(name, value.clone());
    }
    response.headers_mut().remove(axum::http::header::CONTENT_LENGTH);
    *response.body_mut() = body;
    response
}
