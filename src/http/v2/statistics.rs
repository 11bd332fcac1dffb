//! What models did.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use utoipa::ToSchema;

use super::route::{Named, both, of_model};
use crate::http::access::Asking;
use crate::http::error::ApiError;
use crate::http::state::AppState;
use crate::oip::{BatchStatistics, ModelStatistics};
use crate::service::Phase;

pub(super) fn router() -> Router<AppState> {
    both("/v2/models/stats", &get(all)).merge(of_model("/stats", &get(one)))
}

/// What models did, in Triton's words.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Statistics {
    /// One for each model.
    model_stats: Vec<ModelStats>,
}

/// What a model did since its version was published.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelStats {
    /// The task.
    name: String,
    /// The live version.
    version: String,
    /// When the last answer was given, milliseconds since the epoch.
    last_inference: u64,
    /// Images answered.
    inference_count: u64,
    /// Batches, each counted by the model's part of it.
    execution_count: u64,
    /// Time by phase.
    inference_stats: InferenceStats,
    /// Runs by the size of their batches.
    batch_stats: Vec<BatchStats>,
    /// Always empty: models share the backbone's memory.
    #[schema(value_type = Vec<Object>)]
    memory_usage: [u8; 0],
}

/// How often, and how long altogether.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Count {
    /// How often.
    count: u64,
    /// Nanoseconds altogether.
    ns: u64,
}

/// Time by phase.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InferenceStats {
    /// Requests that were answered.
    success: Count,
    /// Requests that were not.
    fail: Count,
    /// Waits for batches.
    queue: Count,
    /// Decoding and resizing.
    compute_input: Count,
    /// Runs of batches.
    compute_infer: Count,
    /// Counted with `compute_infer`: always 0.
    compute_output: Count,
    /// Always 0: whole answers are not kept.
    cache_hit: Count,
    /// Always 0.
    cache_miss: Count,
}

/// Runs of batches of one size.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BatchStats {
    /// Images in the batch.
    batch_size: usize,
    /// Counted with images: always 0.
    compute_input: Count,
    /// Runs, counted once for each image of the model.
    compute_infer: Count,
    /// Always 0.
    compute_output: Count,
}

impl From<Phase> for Count {
    fn from(Phase { count, time }: Phase) -> Self {
        Self { count, ns: u64::try_from(time.as_nanos()).unwrap_or(u64::MAX) }
    }
}

impl From<BatchStatistics> for BatchStats {
    fn from(BatchStatistics { size, compute_infer }: BatchStatistics) -> Self {
        Self {
            batch_size: size,
            compute_input: Count::default(),
            compute_infer: compute_infer.into(),
            compute_output: Count::default(),
        }
    }
}

impl From<ModelStatistics> for ModelStats {
    fn from(told: ModelStatistics) -> Self {
        let inference_stats = InferenceStats {
            success: told.phases.success.into(),
            fail: told.phases.fail.into(),
            queue: told.phases.queue.into(),
            compute_input: told.phases.compute_input.into(),
            compute_infer: told.phases.compute_infer.into(),
            compute_output: Count::default(),
            cache_hit: Count::default(),
            cache_miss: Count::default(),
        };
        Self {
            name: told.name,
            version: told.version,
            last_inference: told.last_inference,
            inference_count: told.inference_count,
            execution_count: told.execution_count,
            inference_stats,
            batch_stats: told.batches.into_iter().map(BatchStats::from).collect(),
            memory_usage: [],
        }
    }
}

/// Says what every model did.
#[utoipa::path(get, path = "/v2/models/stats",
    responses((status = 200, description = "All models", body = Statistics)))]
pub(crate) async fn all(
    State(state): State<AppState>,
    Asking(caller): Asking,
) -> Result<Json<Statistics>, ApiError> {
    Ok(told(state.protocol.statistics(&caller, None, None).await?))
}

/// Says what a model did.
#[utoipa::path(get, path = "/v2/models/{model}/stats", params(("model" = String, Path, description = "The task")),
    responses((status = 200, description = "The model", body = Statistics)))]
pub(crate) async fn one(
    State(state): State<AppState>,
    Asking(caller): Asking,
    named: Result<Path<Named>, PathRejection>,
) -> Result<Json<Statistics>, ApiError> {
    let Path(Named { model, version }) = named?;
    Ok(told(state.protocol.statistics(&caller, Some(&model), version.as_deref()).await?))
}

fn told(all: Vec<ModelStatistics>) -> Json<Statistics> {
    Json(Statistics { model_stats: all.into_iter().map(ModelStats::from).collect() })
}
