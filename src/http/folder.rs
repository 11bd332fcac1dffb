//! `/v1/folder`: the folder of packs as the server sees it, and confirming that what stands there is right.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;
use utoipa::ToSchema;

use super::access::Asking;
use super::error::ApiError;
use super::query;
use super::state::AppState;
use crate::metrics::NO_TASK;
use crate::reload::FolderStatus;
use crate::tenants::Caller;

pub(super) fn router() -> Router<AppState> {
    Router::new().route("/v1/folder", get(show)).route("/v1/folder/confirm", post(confirm))
}

/// The folder of packs.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Folder {
    /// Tasks in it at the last look.
    tasks: usize,
    /// Why it could not be listed at the last look.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Why what stands in its place is taken for another folder. Nothing is unpublished meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    other: Option<String>,
    /// Whether the server is not ready because the folder is empty that had tasks before the start.
    awaited: bool,
    /// How many tasks are kept though the folder lacks them or their live version.
    held: usize,
    /// The first 20 of them.
    held_tasks: Vec<String>,
    /// How many folders are ignored because their name is neither a task id nor a version.
    passed_over: usize,
    /// The first 20 of them.
    passed_over_names: Vec<String>,
    /// How many tasks have no change notices; the times of their folders are looked at in turn.
    unwatched: usize,
    /// Why not all have.
    #[serde(skip_serializing_if = "Option::is_none")]
    notices: Option<String>,
}

/// What a confirmation did.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Confirmed {
    /// How many tasks it unpublished.
    unpublished: usize,
}

impl From<FolderStatus> for Folder {
    fn from(status: FolderStatus) -> Self {
        Self {
            tasks: status.tasks,
            error: status.error,
            other: status.other,
            awaited: status.is_awaited,
            held: status.held,
            held_tasks: status.held_tasks,
            passed_over: status.passed_over,
            passed_over_names: status.passed_over_names,
            unwatched: status.unwatched,
            notices: status.notices,
        }
    }
}

/// Shows the folder of packs: tasks kept although it lacks them, ignored folders, how changes are seen.
#[utoipa::path(get, path = "/v1/folder", responses((status = 200, description = "The folder", body = Folder)))]
pub(super) async fn show(State(state): State<AppState>, uri: Uri) -> Result<Json<Folder>, ApiError> {
    query::none(&uri)?;
    Ok(Json(state.service.folder().into()))
}

/// Confirms that what stands in the place of the folder of packs is right: what it lacks is unpublished.
#[utoipa::path(post, path = "/v1/folder/confirm",
    responses((status = 200, description = "What that did", body = Confirmed)))]
pub(super) async fn confirm(State(state): State<AppState>, Asking(caller): Asking, uri: Uri) -> Response {
    let outcome = confirmed(&state, &caller, &uri).await;
    state.changed(&caller, NO_TASK, outcome)
}

async fn confirmed(state: &AppState, caller: &Caller, uri: &Uri) -> Result<Json<Confirmed>, ApiError> {
    query::none(uri)?;
    Ok(Json(Confirmed { unpublished: state.service.confirm(caller).await? }))
}
