//! `POST /v1/tasks/{task}/classify`: images under one task.

use std::time::Instant;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::body::{self, Body};
use super::error::{ApiError, Code};
use super::pipeline::{self, Pinned, Spent};
use super::predictions::{Prediction, top_k};
use super::query;
use super::state::AppState;
use crate::metrics::NO_TASK;

/// Predictions in an answer whose request names no number.
pub(super) const DEFAULT_TOP_K: usize = 5;

pub(super) fn router() -> Router<AppState> {
    Router::new().route("/v1/tasks/{task}/classify", post(classify))
}

/// How many predictions are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TopK {
    /// Number of predictions, likeliest first (default 5).
    pub(super) top_k: Option<String>,
}

impl TopK {
    /// The parameters.
    pub(super) const KNOWN: &[&str] = &["top_k"];
}

/// Answer for one image.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Classified {
    /// The task.
    pub(super) task: String,
    /// The version that answered.
    pub(super) version: u64,
    /// Likeliest classes first.
    pub(super) predictions: Vec<Prediction>,
}

/// Answer for several images, in their order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ClassifiedBatch {
    /// The task.
    pub(super) task: String,
    /// The version that answered, the same for all.
    pub(super) version: u64,
    /// One for each image.
    pub(super) results: Vec<Predictions>,
}

/// Predictions for one image of several.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Predictions {
    /// Likeliest classes first.
    pub(super) predictions: Vec<Prediction>,
}

/// Classifies one image or several under one task.
///
/// The body is an image, `multipart/form-data` with fields `image`, or JSON `{"image": base64}` or
/// `{"images": [base64, ...]}`.
#[utoipa::path(
    post,
    path = "/v1/tasks/{task}/classify",
    params(("task" = String, Path, description = "The task"), TopK),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "An encoded image"),
    responses((status = 200, description = "Predictions (`results` for several images)", body = Classified))
)]
pub(super) async fn classify(
    State(state): State<AppState>,
    task: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let arrived = Instant::now();
    let name = task.as_ref().map_or(NO_TASK, |Path(task)| task).to_owned();
    let outcome = async {
        let Path(task) = task?;
        let query = query::read(request.uri(), TopK::KNOWN)?;
        answer(&state, &task, query, (request, arrived)).await
    };
    observe(&state, &name, arrived, outcome.await)
}

/// Counts a request and gives its response.
fn observe(
    state: &AppState,
    task: &str,
    arrived: Instant,
    outcome: Result<(HeaderMap, Response), ApiError>,
) -> Response {
    let code = outcome.as_ref().map_or_else(ApiError::code, |_| Code::Ok);
    // Only names the catalog knows become label values.
    let known = task.parse().is_ok_and(|task| state.catalog.contains(&task));
    count(state, if known { task } else { NO_TASK }, code);
    state.metrics.request_seconds.observe(arrived.elapsed().as_secs_f64());
    match outcome {
        Ok((headers, response)) => (headers, response).into_response(),
        Err(error) => error.into_response(),
    }
}

/// Counts one answered request.
pub(super) fn count(state: &AppState, task: &str, code: Code) {
    state.metrics.requests.with_label_values(&[task, code.as_str()]).inc();
}

async fn answer(
    state: &AppState,
    task: &str,
    query: TopK,
    (request, arrived): (Request, Instant),
) -> Result<(HeaderMap, Response), ApiError> {
    let deadline = pipeline::deadline(state, request.headers(), arrived)?;
    let keep = pipeline::keeps(state, request.headers())?;
    pipeline::check_headers(request.headers())?;
    let pinned = pipeline::pin(state, task, deadline).await?;
    // Overload is told before the body is read, which is cheap; rows are admitted after, so that no slow client holds one.
    state.engine.room(1)?;
    let (body, _held) = pipeline::read(state, request, deadline).await?;
    let k = wanted(&query, &body)?;
    check(state, &body)?;
    let permits = state.engine.admit(body.images.len())?;
    let is_batch = body.is_batch;
    let images = body.images.into_iter().zip(permits).enumerate().map(|(index, (bytes, permit))| {
        let pinned = pinned.clone();
        async move {
            let (mut pixels, decode) =
                pipeline::decode(state, (index, bytes, keep), (std::slice::from_ref(&pinned), deadline))
                    .await?;
            let pixels = pixels.pop().ok_or_else(|| ApiError::Internal("no pixels".into()))?;
            let pending = pipeline::submit(state, &pinned, pixels, (permit, deadline));
            let (logits, spent) = pipeline::finish(state, &pinned, pending, deadline).await?;
            let predictions = top_k(&logits, &pinned.pack.manifest.labels, k);
            Ok::<_, ApiError>((predictions, spent.with_decode(decode)))
        }
    });
    let answers = futures::future::try_join_all(images).await?;
    let spent = answers.iter().map(|(_, spent)| *spent).reduce(Spent::join).unwrap_or_default();
    let predictions = answers.into_iter().map(|(predictions, _)| predictions);
    Ok((spent.headers(), respond(&pinned, predictions, is_batch)))
}

fn respond(
    pinned: &Pinned,
    mut predictions: impl Iterator<Item = Vec<Prediction>>,
    is_batch: bool,
) -> Response {
    let (task, version) = (pinned.task.to_string(), pinned.version);
    if is_batch {
        let results = predictions.map(|predictions| Predictions { predictions }).collect();
        return Json(ClassifiedBatch { task, version, results }).into_response();
    }
    let predictions = predictions.next().unwrap_or_default();
    Json(Classified { task, version, predictions }).into_response()
}

/// The number of predictions, from the address or the body.
pub(super) fn wanted(query: &TopK, body: &Body) -> Result<usize, ApiError> {
    match (&query.top_k, body.top_k) {
        (Some(text), _) => body::parse_top_k(text),
        (None, Some(0)) => Err(ApiError::InvalidRequest("top_k = 0: expected a number from 1".into())),
        (None, k) => Ok(k.unwrap_or(DEFAULT_TOP_K)),
    }
}

fn check(state: &AppState, body: &Body) -> Result<(), ApiError> {
    let (count, limit) = (body.images.len(), state.options.max_images);
    if count == 0 || count > limit {
        return Err(ApiError::InvalidRequest(format!("{count} image(s): expected 1 to {limit}")));
    }
    if !body.tasks.is_empty() {
        return Err(ApiError::InvalidRequest(
            "the address names the task; \"tasks\" belongs to /v1/classify".into(),
        ));
    }
    Ok(())
}
