//! Health for orchestrators, series for Prometheus.

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use utoipa::ToSchema;

use super::error::ApiError;
use super::open_metrics;
use super::state::AppState;
use crate::service::Error;
use crate::tenants::Status;

/// Content type of Prometheus' text format.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) fn router() -> Router<AppState> {
    Router::new().route("/healthz", get(live)).route("/readyz", get(ready)).route("/metrics", get(metrics))
}

/// Whether to send requests, and who may.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Readiness {
    /// `ok`.
    status: &'static str,
    /// `open`: everybody may do everything. `keys`: callers show who they are. `keys or anonymous`: some need not.
    access: &'static str,
    /// Whether the file of tenants as it stands now is wrong, and the one before is in force.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    tenants_refused: bool,
    /// Logs that cannot be written now, and wait in memory: `usage`, `audit`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    logs_failing: Vec<&'static str>,
    /// Whether the store of packs does not answer. What is in memory and on this disk is served.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    store_away: bool,
}

/// A state in one word.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// `ok`.
    status: &'static str,
}

/// Says that the process answers and, where batches ran, that some device does.
#[utoipa::path(get, path = "/healthz", responses((status = 200, description = "Alive", body = Health)))]
pub(super) async fn live(State(state): State<AppState>) -> Result<Json<Health>, ApiError> {
    match state.service.is_live() {
        true => Ok(Json(Health { status: "ok" })),
        false => Err(Error::NotReady.into()),
    }
}

/// Says whether to send requests: the backbone is resident, some device answers, and the server is not ending.
#[utoipa::path(get, path = "/readyz", responses((status = 200, description = "Ready", body = Readiness)))]
pub(super) async fn ready(State(state): State<AppState>) -> Result<Json<Readiness>, ApiError> {
    if !state.service.is_ready() {
        return Err(Error::NotReady.into());
    }
    let tenants = state.service.tenants().status();
    let access = match &tenants {
        None => "open",
        Some(Status { is_anonymous: true, .. }) => "keys or anonymous",
        Some(_) => "keys",
    };
    let tenants_refused = tenants.is_some_and(|tenants| tenants.error.is_some());
    let logs_failing = state.service.failing_logs();
    let store_away = state.service.is_store_away();
    Ok(Json(Readiness { status: "ok", access, tenants_refused, logs_failing, store_away }))
}

/// Gives every series in Prometheus' text format, or as OpenMetrics if that is accepted.
#[utoipa::path(get, path = "/metrics",
    responses((status = 200, description = "Series", body = String, content_type = "text/plain")))]
pub(super) async fn metrics(State(state): State<AppState>, headers: HeaderMap) -> Result<Response, ApiError> {
    let text = state.service.series().await?;
    if !open_metrics::is_wanted(&headers) {
        return Ok(([(header::CONTENT_TYPE, PROMETHEUS)], text).into_response());
    }
    let open = open_metrics::of(&String::from_utf8_lossy(&text));
    Ok(([(header::CONTENT_TYPE, open_metrics::CONTENT_TYPE)], open).into_response())
}
