//! `POST /v1/embed`: features of images, under a task or of the frozen backbone.

use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::access::Asking;
use super::arrival::{Arrival, Received};
use super::bill::Costs;
use super::error::ApiError;
use super::query;
use super::state::AppState;
use crate::metrics::NO_TASK;
use crate::service::{AskFeatures, Features};
use crate::tenants::Caller;

pub(super) fn router() -> Router<AppState> {
    Router::new().route("/v1/embed", post(embed))
}

/// Under which task.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Under {
    /// The task whose adapters the images run under; none for the frozen backbone.
    task: Option<String>,
}

/// The feature of one image.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Embedded {
    #[serde(flatten)]
    origin: Origin,
    /// The pooled feature, what a task's head is applied to; not normalised.
    embedding: Vec<f32>,
}

/// Features of several images, in their order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EmbeddedBatch {
    #[serde(flatten)]
    origin: Origin,
    /// One for each image.
    results: Vec<Embedding>,
}

/// One feature of several.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Embedding {
    /// The pooled feature.
    embedding: Vec<f32>,
}

/// What features are of. Only those of equal origin compare.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Origin {
    /// The task; absent where they are the frozen backbone's.
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<String>,
    /// The task's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    /// The backbone.
    backbone: String,
}

/// Gives the pooled feature of one image or several, under a task or of the frozen backbone.
///
/// The body is as for classifying: an image, `multipart/form-data` with fields `image`, or JSON `{"image": base64}` or
/// `{"images": [base64, ...]}`.
#[utoipa::path(
    post,
    path = "/v1/embed",
    params(Under),
    responses((status = 200, description = "The feature (`results` for several images)", body = Embedded))
)]
pub(super) async fn embed(
    State(state): State<AppState>,
    Asking(caller): Asking,
    request: Request,
) -> Response {
    let arrived = Instant::now();
    let under = query::read::<Under>(request.uri(), &["task"]).map(|under| under.task);
    let name = under.as_ref().ok().and_then(Option::clone);
    let outcome = async { answer(&state, &caller, under?.as_deref(), request, arrived).await };
    let outcome = outcome.await;
    state.ended(&caller, name.as_deref().unwrap_or(NO_TASK), outcome, arrived)
}

async fn answer(
    state: &AppState,
    caller: &Caller,
    task: Option<&str>,
    request: Request,
    arrived: Instant,
) -> Result<Response, ApiError> {
    let arrival = Arrival::new(state, caller, request.headers(), arrived)?;
    let task = match task {
        Some(task) => Some(state.service.pin(caller, task, arrival.deadline).await?),
        None => None,
    };
    state.service.room()?;
    let Received { body, held: _held } = arrival.read(state, request).await?;
    if !body.tasks.is_empty() || body.top_k.is_some() {
        return Err(ApiError::invalid("only images are read here; the parameter \"task\" names a task"));
    }
    let ask = AskFeatures { task, images: body.images, terms: arrival.terms(1) };
    let found = state.service.embed(ask).await?;
    let headers = state.headers(caller, &found.maker, &found.spent);
    Ok(told(headers, found, body.is_batch))
}

/// An answer as JSON.
fn told(headers: HeaderMap, found: Features, is_batch: bool) -> Response {
    let Features { task, backbone, images, .. } = found;
    let costs = Extension(Costs::new(images.len(), task.as_ref().map(|(task, _)| task)));
    let (task, version) = task.map(|(task, version)| (task.to_string(), version)).unzip();
    let origin = Origin { task, version, backbone };
    let mut images = images.into_iter();
    if is_batch {
        let results = images.map(|embedding| Embedding { embedding }).collect();
        return (headers, costs, Json(EmbeddedBatch { origin, results })).into_response();
    }
    let embedding = images.next().unwrap_or_default();
    (headers, costs, Json(Embedded { origin, embedding })).into_response()
}
