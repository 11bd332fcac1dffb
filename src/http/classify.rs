//! `POST /v1/tasks/{task}/classify`: images under one task.

use std::time::Instant;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};

use super::access::Asking;
use super::answers::{Classified, ClassifiedBatch};
use super::arrival::{Arrival, Received};
use super::bill::Costs;
use super::error::ApiError;
use super::query;
use super::state::AppState;
use super::wanted::Wanted;
use crate::metrics::NO_TASK;
use crate::service::{Ask, Terms};
use crate::tenants::Caller;

pub(super) fn router() -> Router<AppState> {
    Router::new().route("/v1/tasks/{task}/classify", post(classify))
}

/// Classifies one image or several under one task.
///
/// The body is an image, `multipart/form-data` with fields `image`, or JSON `{"image": base64}` or
/// `{"images": [base64, ...]}`.
#[utoipa::path(
    post,
    path = "/v1/tasks/{task}/classify",
    params(("task" = String, Path, description = "The task"), Wanted),
    responses((status = 200, description = "Predictions (`results` for several images)", body = Classified))
)]
pub(super) async fn classify(
    State(state): State<AppState>,
    Asking(caller): Asking,
    task: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let arrived = Instant::now();
    let name = task.as_ref().map_or(NO_TASK, |Path(task)| task).to_owned();
    let outcome = async { answer(&state, &caller, &task?, request, arrived).await };
    let outcome = outcome.await;
    state.ended(&caller, &name, outcome, arrived)
}

async fn answer(
    state: &AppState,
    caller: &Caller,
    task: &str,
    request: Request,
    arrived: Instant,
) -> Result<Response, ApiError> {
    let query: Wanted = query::read(request.uri(), Wanted::KNOWN)?;
    let arrival = Arrival::new(state, caller, request.headers(), arrived)?;
    let task = state.service.pin(caller, task, arrival.deadline).await?;
    state.service.room()?;
    let Received { body, held: _held } = arrival.read(state, request).await?;
    let terms = arrival.terms(query.top_k_or(body.top_k)?);
    let terms = Terms { wants_logits: query.logits()?, ..terms };
    if !body.tasks.is_empty() {
        return Err(ApiError::invalid("the address names the task; \"tasks\" belongs to /v1/classify"));
    }
    let answered = state.service.classify(Ask { task, images: body.images, terms }).await?;
    let headers = state.headers(caller, &answered.maker, &answered.spent);
    let costs = Extension(Costs::new(answered.images.len(), Some(&answered.task)));
    Ok(if body.is_batch {
        (headers, costs, Json(ClassifiedBatch::from(answered))).into_response()
    } else {
        (headers, costs, Json(Classified::from(answered))).into_response()
    })
}
