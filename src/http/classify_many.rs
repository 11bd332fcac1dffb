//! `POST /v1/classify`: one image under many tasks.

use std::collections::BTreeSet;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::Serialize;
use utoipa::ToSchema;

use super::body::Body;
use super::classify::{Classified, TopK, count, wanted};
use super::error::{ApiError, Code, ErrorBody};
use super::pipeline::{self, Pinned, Spent};
use super::predictions::top_k;
use super::query;
use super::state::AppState;
use crate::engine::Permit;
use crate::metrics::NO_TASK;

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
    let outcome = async {
        let query = query::read(request.uri(), TopK::KNOWN)?;
        answer(&state, query, (request, arrived)).await
    };
    let outcome = outcome.await;
    state.metrics.request_seconds.observe(arrived.elapsed().as_secs_f64());
    match outcome {
        Ok((headers, many)) => (headers, Json(many)).into_response(),
        Err(error) => {
            // The request failed as a whole, before any task was counted.
            count(&state, NO_TASK, error.code());
            error.into_response()
        }
    }
}

async fn answer(
    state: &AppState,
    query: TopK,
    (request, arrived): (Request, Instant),
) -> Result<(HeaderMap, ClassifiedMany), ApiError> {
    let deadline = pipeline::deadline(state, request.headers(), arrived)?;
    let keep = pipeline::keeps(state, request.headers())?;
    pipeline::check_headers(request.headers())?;
    state.engine.room(1)?;
    let (mut body, _held) = pipeline::read(state, request, deadline).await?;
    let k = wanted(&query, &body)?;
    check(state, &body)?;
    let image = body.images.pop().unwrap_or_default();
    let pins = body.tasks.iter().map(|task| pipeline::pin(state, task, deadline));
    let pins = futures::future::join_all(pins).await;
    let found: Vec<Pinned> = pins.iter().flatten().cloned().collect();
    // An image under unknown tasks is decoded too, so it takes a place as any other.
    let permits = state.engine.admit(found.len().max(1))?;
    let (pixels, decode) = pipeline::decode(state, (0, image, keep), (&found, deadline)).await?;
    let rows = found.iter().zip(pixels).zip(permits).map(|((pinned, pixels), permit): (_, Permit)| {
        let pending = pipeline::submit(state, pinned, pixels, (permit, deadline));
        pipeline::finish(state, pinned, pending, deadline)
    });
    // All rows are queued before the first is awaited, so that they can share a batch.
    let rows: Vec<_> = rows.collect();
    let mut answers = futures::future::join_all(rows).await.into_iter();
    let mut spent = Spent::default().with_decode(decode);
    let mut results = Vec::with_capacity(pins.len());
    for (name, pin) in body.tasks.iter().zip(pins) {
        let result = match pin {
            Err(error) => Err(error),
            Ok(pinned) => answers.next().unwrap_or(Err(ApiError::NotReady)).map(|(logits, cost)| {
                spent = spent.join(cost);
                let predictions = top_k(&logits, &pinned.pack.manifest.labels, k);
                Classified { task: pinned.task.to_string(), version: pinned.version, predictions }
            }),
        };
        results.push(observe(state, name, result));
    }
    Ok((spent.headers(), ClassifiedMany { results }))
}

/// Counts one task's part and makes its result.
fn observe(state: &AppState, name: &str, result: Result<Classified, ApiError>) -> TaskResult {
    let code = result.as_ref().map_or_else(ApiError::code, |_| Code::Ok);
    let known = name.parse().is_ok_and(|task| state.catalog.contains(&task));
    count(state, if known { name } else { NO_TASK }, code);
    match result {
        Ok(classified) => TaskResult::Classified(classified),
        Err(error) => TaskResult::Failed { task: name.to_owned(), error: error.body() },
    }
}

fn check(state: &AppState, body: &Body) -> Result<(), ApiError> {
    let invalid = |reason: String| Err(ApiError::InvalidRequest(reason));
    if body.images.len() != 1 {
        return invalid(format!("{} image(s): expected one", body.images.len()));
    }
    let (count, limit) = (body.tasks.len(), state.options.max_tasks);
    if count == 0 || count > limit {
        return invalid(format!("{count} task(s): expected 1 to {limit}"));
    }
    let distinct: BTreeSet<&str> = body.tasks.iter().map(String::as_str).collect();
    if distinct.len() != count {
        return invalid("a task stands twice in \"tasks\"".into());
    }
    Ok(())
}
