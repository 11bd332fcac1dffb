//! What the server is, and what a model takes and gives.

use std::collections::BTreeMap;

use super::outputs::OutputName;
use super::pictures::{IMAGE, PIXELS};
use super::protocol::Live;
use super::{Datatype, Protocol};
use crate::pack::Manifest;
use crate::service::Error;
use crate::tenants::Caller;

/// Extensions of the protocol that are served.
pub const EXTENSIONS: [&str; 7] = [
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "parameters",
    "schedule_policy",
    "statistics",
];

/// What a model is computed by.
pub(super) const PLATFORM: &str = "mimi_safetensors";

/// What the server is.
#[derive(Clone, Debug)]
pub struct ServerMetadata {
    /// The program.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// See [`EXTENSIONS`].
    pub extensions: &'static [&'static str],
}

impl ServerMetadata {
    pub(super) fn new() -> Self {
        Self { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION"), extensions: &EXTENSIONS }
    }
}

/// A tensor that a model takes or gives; -1 stands for any number.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorMetadata {
    /// The name.
    pub name: &'static str,
    /// What its elements are.
    pub datatype: Datatype,
    /// How many in each direction.
    pub shape: Vec<i64>,
}

/// What a model takes and gives.
#[derive(Clone, Debug)]
pub struct ModelMetadata {
    /// The task.
    pub name: String,
    /// The live version.
    pub versions: Vec<String>,
    /// What it is computed by.
    pub platform: &'static str,
    /// Inputs, one of which a request has.
    pub inputs: Vec<TensorMetadata>,
    /// Outputs.
    pub outputs: Vec<TensorMetadata>,
    /// More, for people: `problem_type`, `backbone`, `precision`, `image_size`.
    pub properties: BTreeMap<String, String>,
    /// Names of the task's outputs, in the order of `logits`.
    pub labels: Vec<String>,
}

impl Protocol {
    /// What the server is.
    pub fn server(&self) -> ServerMetadata {
        ServerMetadata::new()
    }

    /// What a model takes and gives.
    ///
    /// # Errors
    /// As [`Protocol::model_ready`].
    pub async fn model(
        &self,
        caller: &Caller,
        model: &str,
        version: Option<&str>,
    ) -> Result<ModelMetadata, Error> {
        let live = self.live(caller, model, version).await?;
        let manifest = manifest(&live)?;
        let backbone = self.service.backbone();
        let properties = [
            ("problem_type", manifest.problem_type.to_string()),
            ("backbone", backbone.name.clone()),
            ("precision", live.details.served_precision.to_string()),
            ("image_size", backbone.image_size().to_string()),
        ];
        let (inputs, outputs) = (inputs(), outputs(manifest, backbone.feature_width()));
        Ok(ModelMetadata {
            name: live.details.status.task.to_string(),
            versions: vec![live.version.to_string()],
            platform: PLATFORM,
            inputs,
            outputs,
            properties: properties.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            labels: manifest.labels.clone(),
        })
    }
}

/// The live version's manifest.
pub(super) fn manifest(live: &Live) -> Result<&Manifest, Error> {
    live.details.manifest.as_ref().ok_or(Error::NotReady)
}

/// The inputs as they are told: `pixels` is also taken as FP32 `[-1, 3, S, S]`.
pub(super) fn inputs() -> Vec<TensorMetadata> {
    vec![
        TensorMetadata { name: IMAGE, datatype: Datatype::Bytes, shape: vec![-1] },
        TensorMetadata { name: PIXELS, datatype: Datatype::Uint8, shape: vec![-1, -1, -1, 3] },
    ]
}

pub(super) fn outputs(manifest: &Manifest, width: usize) -> Vec<TensorMetadata> {
    let side = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let each = OutputName::of(manifest.problem_type).iter().map(|output| {
        let last = match output {
            OutputName::Labels => -1,
            OutputName::Embedding => side(width),
            _ => side(manifest.labels.len()),
        };
        TensorMetadata { name: output.as_str(), datatype: output.datatype(), shape: vec![-1, last] }
    });
    each.collect()
}
