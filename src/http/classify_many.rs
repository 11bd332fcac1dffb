//! `POST /v1/classify`: one image under many tasks.

use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Extension, Json, Router};
use serde::Serialize;
use utoipa::ToSchema;

use super::answers::Classified;
use super::arrival::{Arrival, Received};
use super::bill::Costs;
use super::error::{ApiError, ErrorBody};
use super::state::AppState;
use super::top_k::TopK;
use super::{headers, query};
use crate::metrics::NO_TASK;
use crate::service::{AskMany, TaskAnswer};

pub(super) fn router() -> Router<AppState> {
    Router::new().route("/v1/classify", post(classify_many))
}

/// Answer for one image under several tasks, in their order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ClassifiedMany {
    /// One for each task.
    pub(super) results: Vec<TaskResult>,
}

/// What one task says, or why it says nothing; the other tasks answer all the same.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum TaskResult {
    /// The task answered.
    Classified(Classified),
    /// The task did not answer.
    Failed {
        /// The task.
        task: String,
        /// Why.
        #[serde(flatten)]
        error: ErrorBody,
    },
}

impl From<TaskAnswer> for TaskResult {
    fn from(TaskAnswer { name, outcome }: TaskAnswer) -> Self {
        match outcome {
            Ok(answered) => Self::Classified(answered.into()),
            Err(error) => Self::Failed { task: name, error: ApiError::from(error).body() },
        }
    }
}

/// Classifies one image under several tasks.
///
/// The body is JSON `{"tasks": [...], "image": base64}` or `multipart/form-data` with fields `image` and
/// `tasks` (comma-separated, or one field each).
#[utoipa::path(
    post,
    path = "/v1/classify",
    params(TopK),
    request_body(content = String, content_type = "application/json", description = "Tasks and an image"),
    responses((status = 200, description = "One result for each task", body = ClassifiedMany))
)]
pub(super) async fn classify_many(State(state): State<AppState>, request: Request) -> Response {
    let arrived = Instant::now();
    let outcome = answer(&state, request, arrived).await;
    state.service.took(arrived.elapsed());
    if let Err(error) = &outcome {
        // The request failed as a whole, before any task was counted.
        state.service.count(NO_TASK, error.code());
    }
    outcome.into_response()
}

async fn answer(
    state: &AppState,
    request: Request,
    arrived: Instant,
) -> Result<(HeaderMap, Extension<Costs>, Json<ClassifiedMany>), ApiError> {
    let query: TopK = query::read(request.uri(), TopK::KNOWN)?;
    let arrival = Arrival::new(state, request.headers(), arrived)?;
    state.service.room()?;
    let Received { mut body, held: _held } = arrival.read(state, request).await?;
    let terms = arrival.terms(query.or(body.top_k)?);
    if body.images.len() != 1 {
        return Err(ApiError::invalid(format!("{} image(s): expected one", body.images.len())));
    }
    let image = body.images.pop().unwrap_or_default();
    let answered = state.service.classify_many(AskMany { tasks: body.tasks, image, terms }).await?;
    let tasks = answered.tasks.iter().flat_map(|task| &task.outcome);
    let costs = tasks.fold(Costs::of_images(1), |costs, told| costs.add(Some(&told.task), 1, told.spent));
    let results = answered.tasks.into_iter().map(TaskResult::from).collect();
    Ok((headers::of_spent(&answered.spent), Extension(costs), Json(ClassifiedMany { results })))
}
