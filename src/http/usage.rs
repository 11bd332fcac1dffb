//! `GET /v1/usage`: what the caller's tenant used.

use std::collections::BTreeMap;

use axum::extract::{Request, State};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use utoipa::ToSchema;

use super::access::Asking;
use super::error::ApiError;
use super::query;
use super::state::AppState;
use crate::metrics::NO_TASK;
use crate::usage::{Sum, Used};

/// Tasks that are told one by one in each span of time.
const MOST_TASKS: usize = 1000;

pub(super) fn router() -> Router<AppState> {
    Router::new().route("/v1/usage", get(show))
}

/// What a tenant used, by UTC day and month. Use without a task is under `none`, and under `*` beyond the thousand
/// tasks that used most FLOPs.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Usage {
    /// The tenant; `none` on a server without tenants.
    tenant: String,
    /// Since this server's start, all tasks together.
    since_start: Sums,
    /// Today, by task.
    today: BTreeMap<String, Sums>,
    /// This month, by task.
    this_month: BTreeMap<String, Sums>,
    /// Last month, by task.
    last_month: BTreeMap<String, Sums>,
}

/// Sums.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Sums {
    /// Requests.
    requests: u64,
    /// Images.
    images: u64,
    /// Rows run: an image under two tasks is two rows.
    rows: u64,
    /// Floating-point operations, a multiply-add counting as 2.
    flops: u64,
    /// Time of the device, microseconds.
    device_us: u64,
    /// Bytes of bodies that came.
    bytes_in: u64,
    /// Bytes of bodies that went.
    bytes_out: u64,
    /// Requests turned away for want of room.
    refused: u64,
}

impl From<Sum> for Sums {
    fn from(sum: Sum) -> Self {
        let Sum { requests, images, rows, flops, device_us, bytes_in, bytes_out, refused } = sum;
        Self { requests, images, rows, flops, device_us, bytes_in, bytes_out, refused }
    }
}

/// Says what the caller's tenant used today, this month and the last.
#[utoipa::path(get, path = "/v1/usage", responses((status = 200, description = "Sums by task", body = Usage)))]
pub(super) async fn show(
    State(state): State<AppState>,
    Asking(caller): Asking,
    request: Request,
) -> Result<Json<Usage>, ApiError> {
    query::none(request.uri())?;
    let tenant = caller.billed(None).tenant;
    let Used { since_start, today, this_month, last_month } = state.service.usage().of(&tenant, MOST_TASKS);
    let named = |tasks: BTreeMap<String, Sum>| {
        let name = |task: String| if task.is_empty() { NO_TASK.to_owned() } else { task };
        tasks.into_iter().map(|(task, sum)| (name(task), sum.into())).collect()
    };
    Ok(Json(Usage {
        tenant: tenant.to_string(),
        since_start: since_start.into(),
        today: named(today),
        this_month: named(this_month),
        last_month: named(last_month),
    }))
}
