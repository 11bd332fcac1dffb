//! What the server is, and whether it serves.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use utoipa::ToSchema;

use super::route::both;
use crate::http::error::ApiError;
use crate::http::state::AppState;
use crate::service::Error;

pub(super) fn router() -> Router<AppState> {
    both("/v2", &get(metadata))
        .merge(both("/v2/health/live", &get(live)))
        .merge(both("/v2/health/ready", &get(ready)))
}

/// What the server is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ServerMetadata {
    /// The program.
    name: &'static str,
    /// Its version.
    version: &'static str,
    /// Extensions of the protocol that it serves.
    extensions: &'static [&'static str],
}

/// Whether the server serves. Clients look for one key or the other.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Serving {
    /// Whether it answers.
    live: bool,
    /// Whether it takes inferences.
    ready: bool,
}

/// Says what the server is.
#[utoipa::path(get, path = "/v2", responses((status = 200, description = "The server", body = ServerMetadata)))]
pub(crate) async fn metadata(State(state): State<AppState>) -> Json<ServerMetadata> {
    let server = state.protocol.server();
    Json(ServerMetadata { name: server.name, version: server.version, extensions: server.extensions })
}

/// Says that the process answers and, where batches ran, that some device does.
#[utoipa::path(get, path = "/v2/health/live", responses((status = 200, description = "Alive", body = Serving)))]
pub(crate) async fn live(State(state): State<AppState>) -> Result<Json<Serving>, ApiError> {
    match state.protocol.is_live() {
        true => Ok(Json(Serving { live: true, ready: state.protocol.is_ready() })),
        false => Err(Error::NotReady.into()),
    }
}

/// Says whether to send inferences.
#[utoipa::path(get, path = "/v2/health/ready", responses((status = 200, description = "Ready", body = Serving)))]
pub(crate) async fn ready(State(state): State<AppState>) -> Result<Json<Serving>, ApiError> {
    if state.protocol.is_ready() {
        return Ok(Json(Serving { live: true, ready: true }));
    }
    Err(Error::NotReady.into())
}
