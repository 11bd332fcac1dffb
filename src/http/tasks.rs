//! `/v1/tasks`: what is published, and publishing.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::access::Asking;
use super::error::ApiError;
use super::query;
use super::state::AppState;
use crate::backbone::Precision;
use crate::catalog::{Failure, TaskStatus};
use crate::metrics::NO_TASK;
use crate::pack::{Manifest, TaskId};
use crate::service::{self, Error, TaskDetails};
use crate::tenants::Caller;

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
    #[param(minimum = 1, maximum = 1000)]
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
    /// Present when the live version's files are no longer those that were published.
    #[serde(skip_serializing_if = "Option::is_none")]
    rewritten: Option<String>,
    /// True where somebody unloaded the task: it answers nothing until it is loaded again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unloaded: bool,
}

/// A version that could not be published.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FailureView {
    /// The version.
    version: u64,
    /// `incomplete`, `unreadable`, `broken` or `over_limit`.
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
    /// What this server's backbone multiplies in: `fp32`, `int8`, `int8-reduced`, `tf32` or `fp16`.
    #[schema(value_type = String)]
    served_precision: Precision,
    /// Present when the live version was trained at another precision, or with another image decoder.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
    /// True where nothing proves that the backbone is the one the live version was trained on: it is another
    /// library's pack, imported without `--check`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    base_unverified: bool,
}

/// What was published.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Reloaded {
    /// The task.
    task: String,
    /// The version that is now live.
    version: u64,
}

impl From<TaskStatus> for Summary {
    fn from(status: TaskStatus) -> Self {
        let TaskStatus { task, live, resident, failure, kept, rewritten, is_unloaded } = status;
        let failure = failure.map(FailureView::from);
        Self {
            task: task.to_string(),
            version: live,
            resident,
            failure,
            kept,
            rewritten,
            unloaded: is_unloaded,
        }
    }
}

impl From<Failure> for FailureView {
    fn from(Failure { version, kind, reason }: Failure) -> Self {
        Self { version, state: kind.to_string(), retried: kind.retried().into(), reason }
    }
}

impl From<TaskDetails> for Details {
    fn from(details: TaskDetails) -> Self {
        let TaskDetails { status, manifest, served_precision, warning, is_base_unverified } = details;
        let base_unverified = is_base_unverified;
        Self { summary: status.into(), manifest, served_precision, warning, base_unverified }
    }
}

/// A task's name, which must be one that a task can have.
fn task_id(task: &str) -> Result<TaskId, ApiError> {
    Ok(task.parse().map_err(Error::TaskId)?)
}

/// Lists published tasks by name, a page at a time.
#[utoipa::path(get, path = "/v1/tasks", params(PageQuery),
    responses((status = 200, description = "A page of tasks", body = Page)))]
pub(super) async fn list(
    State(state): State<AppState>,
    Asking(caller): Asking,
    uri: Uri,
) -> Result<Json<Page>, ApiError> {
    let query: PageQuery = query::read(&uri, &["after", "limit"])?;
    let after = query.after.as_deref().map(str::parse::<TaskId>).transpose();
    let after = after.map_err(|e| ApiError::invalid(format!("after: {e}")))?;
    let limit = query.limit.unwrap_or(DEFAULT_PAGE);
    if limit == 0 || limit > MAX_PAGE {
        return Err(ApiError::invalid(format!("limit = {limit}: expected 1 to {MAX_PAGE}")));
    }
    let service::Page { tasks, next } = state.service.page(&caller, after.as_ref(), limit);
    let tasks = tasks.into_iter().map(Summary::from).collect();
    Ok(Json(Page { tasks, next: next.map(|task| task.to_string()) }))
}

/// Shows one task: its live version, what failed, and the manifest.
#[utoipa::path(get, path = "/v1/tasks/{task}", params(("task" = String, Path, description = "The task")),
    responses((status = 200, description = "The task", body = Details)))]
pub(super) async fn show(
    State(state): State<AppState>,
    Asking(caller): Asking,
    task: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<Details>, ApiError> {
    let Path(task) = task?;
    query::none(&uri)?;
    Ok(Json(state.service.show(&caller, &task_id(&task)?).await?.into()))
}

/// Publishes the newest version in the task's folder; when it fails, what was live stays live.
#[utoipa::path(post, path = "/v1/tasks/{task}/reload", params(("task" = String, Path, description = "The task")),
    responses((status = 200, description = "What is now live", body = Reloaded)))]
pub(super) async fn reload(
    State(state): State<AppState>,
    Asking(caller): Asking,
    task: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Response {
    let name = task.as_ref().map_or(NO_TASK, |Path(task)| task).to_owned();
    let outcome = async { reloaded(&state, &caller, &task?, &uri).await };
    let outcome = outcome.await;
    state.changed(&caller, &name, outcome)
}

async fn reloaded(
    state: &AppState,
    caller: &Caller,
    task: &str,
    uri: &Uri,
) -> Result<Json<Reloaded>, ApiError> {
    query::none(uri)?;
    let task = task_id(task)?;
    let version = state.service.reload(caller, &task).await?;
    Ok(Json(Reloaded { task: task.to_string(), version }))
}
