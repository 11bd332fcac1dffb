//! What models there are, and having them answer or not.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Instant;
use utoipa::ToSchema;

use super::request::{self, Value};
use super::route::{Named, both};
use crate::http::access::Asking;
use crate::http::arrival::Arrival;
use crate::http::encoded;
use crate::http::error::ApiError;
use crate::http::state::AppState;
use crate::metrics::NO_TASK;
use crate::oip::{FILE, IndexEntry, UploadedFile};
use crate::tenants::Caller;
use crate::text::brief;

pub(super) fn router() -> Router<AppState> {
    both("/v2/repository/index", &post(index))
        .merge(both("/v2/repository/models/{model}/load", &post(load)))
        .merge(both("/v2/repository/models/{model}/unload", &post(unload)))
}

/// A model.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Entry {
    /// The task.
    name: String,
    /// The live version, or the newest that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// `READY` or `UNAVAILABLE`.
    state: &'static str,
    /// Why it does not answer.
    reason: String,
}

impl From<IndexEntry> for Entry {
    fn from(IndexEntry { name, version, state, reason }: IndexEntry) -> Self {
        Self { name, version, state: state.as_str(), reason }
    }
}

#[derive(Default, Deserialize)]
struct Asked {
    ready: Option<bool>,
    parameters: Option<BTreeMap<String, Value>>,
}

/// Lists models, from memory.
#[utoipa::path(post, path = "/v2/repository/index",
    responses((status = 200, description = "Models", body = Vec<Entry>)))]
pub(crate) async fn index(
    State(state): State<AppState>,
    Asking(caller): Asking,
    request: Request,
) -> Result<Json<Vec<Entry>>, ApiError> {
    let asked = read(&state, &caller, request).await?;
    let all = state.protocol.index(&caller, asked.ready.unwrap_or(false));
    Ok(Json(all.into_iter().map(Entry::from).collect()))
}

/// Publishes the newest version of a model, or one that comes with the request, and has the model answer.
#[utoipa::path(post, path = "/v2/repository/models/{model}/load",
    params(("model" = String, Path, description = "The task")),
    responses((status = 200, description = "It answers")))]
pub(crate) async fn load(
    State(state): State<AppState>,
    Asking(caller): Asking,
    named: Result<Path<Named>, PathRejection>,
    request: Request,
) -> Response {
    let name = named.as_ref().map_or(NO_TASK, |Path(named)| &named.model).to_owned();
    let outcome = async { loaded(&state, &caller, &named?.0.model, request).await };
    let outcome = outcome.await;
    state.changed(&caller, &name, outcome)
}

async fn loaded(
    state: &AppState,
    caller: &Caller,
    model: &str,
    request: Request,
) -> Result<StatusCode, ApiError> {
    let mut given = read(state, caller, request).await?.parameters.unwrap_or_default();
    let files =
        given.extract_if(.., |name, _| name.starts_with(FILE)).map(uploaded).collect::<Result<_, _>>()?;
    let parameters = request::parameters(Some(given))?;
    state.protocol.load(caller, model, (&parameters, files)).await?;
    Ok(StatusCode::OK)
}

/// Has a model answer nothing until it is loaded.
#[utoipa::path(post, path = "/v2/repository/models/{model}/unload",
    params(("model" = String, Path, description = "The task")),
    responses((status = 200, description = "It answers nothing")))]
pub(crate) async fn unload(
    State(state): State<AppState>,
    Asking(caller): Asking,
    named: Result<Path<Named>, PathRejection>,
    request: Request,
) -> Response {
    let name = named.as_ref().map_or(NO_TASK, |Path(named)| &named.model).to_owned();
    let outcome = async { unloaded(&state, &caller, &named?.0.model, request).await };
    let outcome = outcome.await;
    state.changed(&caller, &name, outcome)
}

async fn unloaded(
    state: &AppState,
    caller: &Caller,
    model: &str,
    request: Request,
) -> Result<StatusCode, ApiError> {
    request::parameters(read(state, caller, request).await?.parameters)?;
    state.protocol.unload(caller, model).await?;
    Ok(StatusCode::OK)
}

/// A file that came as a parameter, in base64.
fn uploaded((name, value): (String, Value)) -> Result<UploadedFile, ApiError> {
    let told = brief(&name);
    let Value::Text(text) = value else {
        return Err(ApiError::invalid(format!("parameter {told:?}: expected base64")));
    };
    let content =
        encoded::decode(&text).map_err(|e| ApiError::invalid(format!("parameter {told:?} is {e}")))?;
    Ok(UploadedFile { name: name.strip_prefix(FILE).unwrap_or(&name).to_owned(), content })
}

/// The body, which may be empty.
async fn read(state: &AppState, caller: &Caller, request: Request) -> Result<Asked, ApiError> {
    let arrival = Arrival::new(state, caller, request.headers(), Instant::now())?;
    let (body, mut held) = arrival.read_bytes(state, request).await?;
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Asked::default());
    }
    request::from_json(&body, &mut held)
}
