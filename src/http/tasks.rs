//! `/v1/tasks`: what is published, and publishing.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::ApiError;
use super::query;
use super::state::AppState;
use crate::backbone::Precision;
use crate::catalog::{Error as CatalogError, Failure, TaskStatus};
use crate::pack::{self, Manifest, TaskId};

/// Tasks on a page whose request names no number.
const DEFAULT_PAGE: usize = 100;
/// Most tasks on a page.
const MAX_PAGE: usize = 1000;

pub(super) fn router() -> Router<AppState> {
    Router::new()
        .route("/v1/tasks", get(list))
        .route("/v1/tasks/{task}", get(show))
        .route("/v1/tasks/{task}/reload", post(reload))
}

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// Name of the last task of the page before.
    after: Option<String>,
    /// Tasks on the page, at most 1000 (default 100).
    limit: Option<usize>,
}

/// A page of tasks, by name.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Page {
    /// The tasks.
    tasks: Vec<Summary>,
    /// What to pass as `after` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A task in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Summary {
    /// The task.
    task: String,
    /// The version that answers; null when none could be published.
    version: Option<u64>,
    /// Whether its pack is in memory.
    resident: bool,
    /// The newest version that could not be published.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<FailureView>,
    /// Why the task is kept as it was although its folder lacks it or cannot be looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<String>,
    /// Told when the live version's files are no longer those that were published.
    #[serde(skip_serializing_if = "Option::is_none")]
    rewritten: Option<String>,
}

/// A version that could not be published.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FailureView {
    /// The version.
    version: u64,
    /// `incomplete`, `unreadable` or `broken`.
    state: String,
    /// When it is tried again.
    retried: String,
    /// Why not.
    reason: String,
}

/// All about one task.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Details {
    /// State in the catalog.
    #[serde(flatten)]
    summary: Summary,
    /// The live version's manifest: labels, widths by site, sites left out, preprocessing, provenance.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    manifest: Option<Manifest>,
    /// What this server's backbone multiplies in: `fp32`, `int8`, `int8-reduced` or `fp16`.
    #[schema(value_type = String)]
    served_precision: Precision,
    /// Told where the live version was trained at another precision, or with another image decoder.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
}

/// What was published.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Reloaded {
    /// The task.
    task: String,
    /// The version that is now live.
    version: u64,
}

impl Summary {
    fn new(state: &AppState, status: TaskStatus) -> Self {
        let TaskStatus { task, live, resident, failure, kept, rewritten } = status;
        let failure = failure.map(|Failure { version, kind, reason }| FailureView {
            version,
            state: kind.to_string(),
            retried: kind.retried().into(),
            reason: state.told(&reason),
        });
        let [kept, rewritten] = [kept, rewritten].map(|text| text.map(|text| state.told(&text)));
        Self { task: task.to_string(), version: live, resident, failure, kept, rewritten }
    }
}

/// Lists published tasks by name, a page at a time.
#[utoipa::path(get, path = "/v1/tasks", params(PageQuery),
    responses((status = 200, description = "A page of tasks", body = Page)))]
pub(super) async fn list(State(state): State<AppState>, uri: Uri) -> Result<Json<Page>, ApiError> {
    let query: PageQuery = query::read(&uri, &["after", "limit"])?;
    let after = query.after.as_deref().map(str::parse::<TaskId>).transpose();
    let after = after.map_err(|e| ApiError::InvalidRequest(format!("after: {e}")))?;
    let limit = query.limit.unwrap_or(DEFAULT_PAGE);
    if limit == 0 || limit > MAX_PAGE {
        return Err(ApiError::InvalidRequest(format!("limit = {limit}: expected 1 to {MAX_PAGE}")));
    }
    // One more than asked tells whether there is a next page.
    let mut page = state.catalog.page(after.as_ref(), limit + 1);
    let more = page.len() > limit;
    page.truncate(limit);
    let next = page.last().filter(|_| more).map(|status| status.task.to_string());
    Ok(Json(Page { tasks: page.into_iter().map(|status| Summary::new(&state, status)).collect(), next }))
}

/// Shows one task: its live version, what failed, and the manifest.
#[utoipa::path(get, path = "/v1/tasks/{task}", params(("task" = String, Path, description = "The task")),
    responses((status = 200, description = "The task", body = Details)))]
pub(super) async fn show(
    State(state): State<AppState>,
    task: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<Details>, ApiError> {
    let Path(task) = task?;
    query::none(&uri)?;
    let id: TaskId = task.parse().map_err(ApiError::TaskId)?;
    let status =
        state.catalog.status(&id).ok_or_else(|| state.catalog_error(&CatalogError::UnknownTask(task)))?;
    let manifest = manifest(&state, &id, status.live).await?;
    let served_precision = state.engine.precision();
    let warning = manifest.as_ref().and_then(|manifest| {
        let told = [mismatch(manifest, served_precision), manifest.decoder_warning()];
        told.into_iter().flatten().reduce(|one, other| format!("{one}; {other}"))
    });
    Ok(Json(Details { summary: Summary::new(&state, status), manifest, served_precision, warning }))
}

/// The manifest of what is served: from memory, and only of what nobody has called yet from disk.
async fn manifest(state: &AppState, task: &TaskId, live: Option<u64>) -> Result<Option<Manifest>, ApiError> {
    let Some(version) = live else { return Ok(None) };
    if let Some(pack) = state.catalog.served(task).await {
        return Ok(Some(pack.manifest.clone()));
    }
    let folder = state.catalog.folder(task, version);
    let read = tokio::task::spawn_blocking(move || pack::read_manifest(&folder)).await;
    // A broken manifest is told by `failure`; the rest of the answer stands.
    Ok(read.map_err(|e| ApiError::Internal(e.to_string()))?.ok())
}

fn mismatch(manifest: &Manifest, served: Precision) -> Option<String> {
    let trained = manifest.precision;
    let words =
        || format!("trained at {trained}, served at {served}: its accuracy may differ from the recorded one");
    (trained != served).then(words)
}

/// Publishes the newest version in the task's folder; when it fails, what was live stays live.
#[utoipa::path(post, path = "/v1/tasks/{task}/reload", params(("task" = String, Path, description = "The task")),
    responses((status = 200, description = "What is now live", body = Reloaded)))]
pub(super) async fn reload(
    State(state): State<AppState>,
    task: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<Reloaded>, ApiError> {
    let Path(task) = task?;
    query::none(&uri)?;
    let id: TaskId = task.parse().map_err(ApiError::TaskId)?;
    let version = state.reloader.reload(&id).await.map_err(|error| state.reload_error(&error))?;
    Ok(Json(Reloaded { task: id.to_string(), version }))
}
