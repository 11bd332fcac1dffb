//! `GET /v1/server`: what serves, what the caller's tenant used, and how much waits.

use axum::extract::State;
use axum::http::Uri;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use utoipa::ToSchema;

use super::access::Asking;
use super::error::ApiError;
use super::query;
use super::state::AppState;
use super::usage::Sums;
use crate::runtime::Device;
use crate::service::{About, Load};

pub(super) fn router() -> Router<AppState> {
    Router::new().route("/v1/server", get(show))
}

/// What serves, and how busy it is as far as the caller may know.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Server {
    /// The version of the program.
    build: &'static str,
    /// The device: `cpu` or `cuda:N`.
    device: String,
    /// What the backbone multiplies in.
    precision: String,
    /// The frozen backbone.
    backbone: Backbone,
    /// Most tasks of one request.
    max_tasks: usize,
    /// Largest body, bytes.
    max_body_bytes: usize,
    /// What the caller's tenant used since the server's start.
    used: Sums,
    /// What the whole server runs. Absent where the caller may not know of others' rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    load: Option<LoadView>,
}

/// The frozen backbone.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Backbone {
    /// Its name.
    name: String,
    /// `vit`, `swin` or `cvt`.
    architecture: &'static str,
    /// Pixels of an image's side.
    image_size: usize,
    /// Its blocks, first to last.
    blocks: Vec<Block>,
}

/// A block of the backbone.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Block {
    /// Width of its features.
    width: usize,
    /// Floating-point operations for one image. What stands before or after all blocks counts as its neighbour's.
    flops: u64,
}

/// What the whole server has run since its start, and what waits.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LoadView {
    /// Rows that ran: an image under two tasks is two rows.
    rows: u64,
    /// Batches that ran.
    batches: u64,
    /// Rows that wait for a batch.
    waiting_rows: u64,
    /// Seconds that the waiting rows will take.
    backlog_seconds: f64,
}

impl From<Load> for LoadView {
    fn from(Load { rows, batches, waiting_rows, backlog_seconds }: Load) -> Self {
        Self { rows, batches, waiting_rows, backlog_seconds }
    }
}

impl From<&About<'_>> for Backbone {
    fn from(about: &About<'_>) -> Self {
        let config = about.backbone;
        let flops = about.flops_before.windows(2).map(|pair| pair[1].saturating_sub(pair[0]));
        let block = |(block, flops)| Block { width: config.block_width(block), flops };
        Self {
            name: config.name.clone(),
            architecture: config.architecture.name(),
            image_size: config.image_size(),
            blocks: flops.enumerate().map(block).collect(),
        }
    }
}

/// Says what serves, what the caller's tenant used since the start, and how much waits.
#[utoipa::path(get, path = "/v1/server", responses((status = 200, description = "The server", body = Server)))]
pub(super) async fn show(
    State(state): State<AppState>,
    Asking(caller): Asking,
    uri: Uri,
) -> Result<Json<Server>, ApiError> {
    query::none(&uri)?;
    let about = state.service.about();
    let tenant = caller.billed(None).tenant;
    Ok(Json(Server {
        build: env!("CARGO_PKG_VERSION"),
        device: Device::names(about.devices),
        precision: about.precision.to_string(),
        backbone: Backbone::from(&about),
        max_tasks: state.service.options().max_tasks,
        max_body_bytes: state.options.payload_limit,
        used: state.service.usage().of(&tenant, 0).since_start.into(),
        load: state.service.may_know_load(&caller).then(|| state.service.load().into()),
    }))
}
