//! A model's configuration, in Triton's words.

use super::metadata::{PLATFORM, inputs, manifest, outputs};
use super::{Datatype, Protocol, TensorMetadata};
use crate::service::Error;
use crate::tenants::Caller;

/// An input.
#[derive(Clone, Debug)]
pub struct ConfigInput {
    /// The name.
    pub name: &'static str,
    /// What its elements are; the word is Triton's, see [`ModelConfig::data_type`].
    pub datatype: Datatype,
    /// How many in each direction behind the batch's.
    pub dims: Vec<i64>,
    /// Whether a request may do without it.
    pub is_optional: bool,
}

/// An output.
#[derive(Clone, Debug)]
pub struct ConfigOutput {
    /// The name.
    pub name: &'static str,
    /// What its elements are.
    pub datatype: Datatype,
    /// How many in each direction behind the batch's.
    pub dims: Vec<i64>,
}

/// A model's configuration.
#[derive(Clone, Debug)]
pub struct ModelConfig {
    /// The task.
    pub name: String,
    /// What it is computed by.
    pub platform: &'static str,
    /// Most images in a request.
    pub max_batch_size: usize,
    /// Inputs, one of which a request has.
    pub inputs: Vec<ConfigInput>,
    /// Outputs.
    pub outputs: Vec<ConfigOutput>,
    /// The live version.
    pub version: u64,
}

impl ModelConfig {
    /// Triton's word for a datatype.
    pub fn data_type(datatype: Datatype) -> String {
        match datatype {
            Datatype::Bytes => "TYPE_STRING".into(),
            other => format!("TYPE_{other}"),
        }
    }
}

impl Protocol {
    /// A model's configuration.
    ///
    /// # Errors
    /// As [`Protocol::model_ready`].
    pub async fn config(
        &self,
        caller: &Caller,
        model: &str,
        version: Option<&str>,
    ) -> Result<ModelConfig, Error> {
        let live = self.live(caller, model, version).await?;
        let given = outputs(manifest(&live)?, self.service.backbone().feature_width());
        let behind = |tensor: &TensorMetadata| match tensor.shape.get(1..) {
            Some([]) | None => vec![1],
            Some(rest) => rest.to_vec(),
        };
        let input = |tensor: TensorMetadata| ConfigInput {
            name: tensor.name,
            datatype: tensor.datatype,
            dims: behind(&tensor),
            is_optional: true,
        };
        let output = |tensor: TensorMetadata| ConfigOutput {
            name: tensor.name,
            datatype: tensor.datatype,
            dims: behind(&tensor),
        };
        Ok(ModelConfig {
            name: live.details.status.task.to_string(),
            platform: PLATFORM,
            max_batch_size: self.service.options().max_images,
            inputs: inputs().into_iter().map(input).collect(),
            outputs: given.into_iter().map(output).collect(),
            version: live.version,
        })
    }
}
