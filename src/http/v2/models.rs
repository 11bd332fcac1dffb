//! Models: which there are, what they take and give, whether they answer.

use std::collections::BTreeMap;

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
use crate::oip;

pub(super) fn router() -> Router<AppState> {
    both("/v2/models", &get(list))
        .merge(of_model("", &get(show)))
        .merge(of_model("/ready", &get(ready)))
        .merge(of_model("/config", &get(config)))
}

/// Names of models.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Models {
    /// The names, in their order.
    models: Vec<String>,
}

/// What a model takes and gives.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelMetadata {
    /// The task.
    name: String,
    /// The live version.
    versions: Vec<String>,
    /// What it is computed by.
    platform: &'static str,
    /// Inputs, one of which a request has.
    inputs: Vec<TensorMetadata>,
    /// Outputs.
    outputs: Vec<TensorMetadata>,
    /// More, for people.
    properties: BTreeMap<String, String>,
    /// Names of the task's outputs, in the order of `logits`.
    labels: Vec<String>,
}

/// A tensor; -1 stands for any number.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TensorMetadata {
    /// The name.
    name: &'static str,
    /// What its elements are.
    datatype: &'static str,
    /// How many in each direction.
    shape: Vec<i64>,
}

impl From<oip::TensorMetadata> for TensorMetadata {
    fn from(oip::TensorMetadata { name, datatype, shape }: oip::TensorMetadata) -> Self {
        Self { name, datatype: datatype.as_str(), shape }
    }
}

impl From<oip::ModelMetadata> for ModelMetadata {
    fn from(told: oip::ModelMetadata) -> Self {
        let oip::ModelMetadata { name, versions, platform, inputs, outputs, properties, labels } = told;
        let tensors = |all: Vec<oip::TensorMetadata>| all.into_iter().map(TensorMetadata::from).collect();
        let (inputs, outputs) = (tensors(inputs), tensors(outputs));
        Self { name, versions, platform, inputs, outputs, properties, labels }
    }
}

/// Whether a model answers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelReady {
    /// The task.
    name: String,
    /// Always true: a model that does not answer is a failure.
    ready: bool,
}

/// A model's configuration, in Triton's words.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelConfig {
    /// The task.
    name: String,
    /// What it is computed by.
    platform: &'static str,
    /// Who computes it.
    backend: &'static str,
    /// Most images in a request.
    max_batch_size: usize,
    /// Inputs, one of which a request has.
    input: Vec<ConfigTensor>,
    /// Outputs.
    output: Vec<ConfigTensor>,
    /// Which versions answer.
    version_policy: VersionPolicy,
}

/// Which versions answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VersionPolicy {
    specific: Specific,
}

/// The live version.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Specific {
    versions: Vec<u64>,
}

/// A tensor in a configuration.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConfigTensor {
    /// The name.
    name: &'static str,
    /// What its elements are.
    data_type: String,
    /// How many in each direction behind the batch's.
    dims: Vec<i64>,
    /// Whether a request may do without it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    optional: bool,
}

impl From<oip::ModelConfig> for ModelConfig {
    fn from(told: oip::ModelConfig) -> Self {
        let word = oip::ModelConfig::data_type;
        let input = |oip::ConfigInput { name, datatype, dims, is_optional }| ConfigTensor {
            name,
            data_type: word(datatype),
            dims,
            optional: is_optional,
        };
        let output = |oip::ConfigOutput { name, datatype, dims }| ConfigTensor {
            name,
            data_type: word(datatype),
            dims,
            optional: false,
        };
        Self {
            name: told.name,
            platform: told.platform,
            backend: "mimi",
            max_batch_size: told.max_batch_size,
            input: told.inputs.into_iter().map(input).collect(),
            output: told.outputs.into_iter().map(output).collect(),
            version_policy: VersionPolicy { specific: Specific { versions: vec![told.version] } },
        }
    }
}

/// Lists the names of models.
#[utoipa::path(get, path = "/v2/models", responses((status = 200, description = "Names", body = Models)))]
pub(crate) async fn list(State(state): State<AppState>, Asking(caller): Asking) -> Json<Models> {
    Json(Models { models: state.protocol.models(&caller) })
}

/// Says what a model takes and gives.
#[utoipa::path(get, path = "/v2/models/{model}", params(("model" = String, Path, description = "The task")),
    responses((status = 200, description = "The model", body = ModelMetadata)))]
pub(crate) async fn show(
    State(state): State<AppState>,
    Asking(caller): Asking,
    named: Result<Path<Named>, PathRejection>,
) -> Result<Json<ModelMetadata>, ApiError> {
    let Path(Named { model, version }) = named?;
    Ok(Json(state.protocol.model(&caller, &model, version.as_deref()).await?.into()))
}

/// Says whether a model answers.
#[utoipa::path(get, path = "/v2/models/{model}/ready", params(("model" = String, Path, description = "The task")),
    responses((status = 200, description = "It answers", body = ModelReady)))]
pub(crate) async fn ready(
    State(state): State<AppState>,
    Asking(caller): Asking,
    named: Result<Path<Named>, PathRejection>,
) -> Result<Json<ModelReady>, ApiError> {
    let Path(Named { model, version }) = named?;
    state.protocol.model_ready(&caller, &model, version.as_deref()).await?;
    Ok(Json(ModelReady { name: model, ready: true }))
}

/// Gives a model's configuration.
#[utoipa::path(get, path = "/v2/models/{model}/config", params(("model" = String, Path, description = "The task")),
    responses((status = 200, description = "The configuration", body = ModelConfig)))]
pub(crate) async fn config(
    State(state): State<AppState>,
    Asking(caller): Asking,
    named: Result<Path<Named>, PathRejection>,
) -> Result<Json<ModelConfig>, ApiError> {
    let Path(Named { model, version }) = named?;
    Ok(Json(state.protocol.config(&caller, &model, version.as_deref()).await?.into()))
}
