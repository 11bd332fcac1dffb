//! `PUT /v1/tasks/{task}/versions/{version}`: publishing a version as one file.

use std::time::Instant;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::put;
use axum::{Json, Router};
use serde::Serialize;
use utoipa::ToSchema;

use super::access::Asking;
use super::arrival::Arrival;
use super::error::ApiError;
use super::query;
use super::state::AppState;
use crate::metrics::NO_TASK;
use crate::pack::{TaskId, parse_version};
use crate::service::Error;
use crate::tenants::Caller;
use crate::text::brief;

pub(super) fn router() -> Router<AppState> {
    Router::new().route("/v1/tasks/{task}/versions/{version}", put(publish))
}

/// What was published.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PublishedVersion {
    /// The task.
    task: String,
    /// The version, which answers now.
    version: u64,
    /// SHA-256 of its `.mipack`.
    digest: String,
}

/// Publishes a version that comes as a `.mipack` file and has it answer, once it has given its stored answers. The same
/// bytes under the same number change nothing.
#[utoipa::path(put, path = "/v1/tasks/{task}/versions/{version}",
    params(("task" = String, Path, description = "The task"), ("version" = u64, Path, description = "The version's number")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream", description = "A .mipack file"),
    responses((status = 200, description = "What answers now", body = PublishedVersion)))]
pub(super) async fn publish(
    State(state): State<AppState>,
    Asking(caller): Asking,
    named: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Response {
    let name = named.as_ref().map_or(NO_TASK, |Path((task, _))| task).to_owned();
    let outcome = async { published(&state, &caller, named?.0, request).await };
    let outcome = outcome.await;
    state.changed(&caller, &name, outcome)
}

async fn published(
    state: &AppState,
    caller: &Caller,
    (task, version): (String, String),
    request: Request,
) -> Result<Json<PublishedVersion>, ApiError> {
    query::none(request.uri())?;
    let task: TaskId = task.parse().map_err(Error::TaskId)?;
    let wrong = || ApiError::invalid(format!("version {:?}: expected a number from 1", brief(&version)));
    let version = parse_version(&version).ok_or_else(wrong)?;
    let arrival = Arrival::new(state, caller, request.headers(), Instant::now())?;
    let mut receiving = state.service.receiving(caller, &task, version).await?;
    arrival.read_to(state, request, &mut receiving).await?;
    let digest = receiving.publish().await?;
    Ok(Json(PublishedVersion { task: task.to_string(), version, digest }))
}
