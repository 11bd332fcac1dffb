//! `ModelConfig`.

use std::collections::HashMap;

use super::asked::{Asked, version};
use crate::grpc::door::Door;
use crate::grpc::messages::{
    DataType, ModelConfig, ModelConfigRequest, ModelConfigResponse, ModelInput, ModelOutput, ModelParameter,
};
use crate::oip::{self, Datatype};
use crate::service::Error;

pub(super) async fn answer(
    door: Door,
    asked: Asked<ModelConfigRequest>,
) -> Result<ModelConfigResponse, Error> {
    let Asked { message: ModelConfigRequest { name, version: wanted }, caller, .. } = asked;
    let oip::ModelConfig { name, platform, max_batch_size, inputs, outputs, version } =
        door.protocol.config(&caller, &name, version(&wanted)).await?;
    let input = |told: oip::ConfigInput| ModelInput {
        name: told.name.to_owned(),
        data_type: data_type(told.datatype),
        dims: told.dims,
        optional: told.is_optional,
    };
    let output = |told: oip::ConfigOutput| ModelOutput {
        name: told.name.to_owned(),
        data_type: data_type(told.datatype),
        dims: told.dims,
    };
    let version = ModelParameter { string_value: version.to_string() };
    let config = ModelConfig {
        name,
        platform: platform.to_owned(),
        backend: String::new(),
        max_batch_size: i32::try_from(max_batch_size).unwrap_or(i32::MAX),
        input: inputs.into_iter().map(input).collect(),
        output: outputs.into_iter().map(output).collect(),
        parameters: HashMap::from([("version".to_owned(), version)]),
    };
    Ok(ModelConfigResponse { config: Some(config) })
}

fn data_type(datatype: Datatype) -> i32 {
    let word = oip::ModelConfig::data_type(datatype);
    DataType::from_str_name(&word).unwrap_or(DataType::TypeInvalid).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_datatype_has_its_number() {
        for datatype in Datatype::ALL {
            assert_ne!(data_type(datatype), i32::from(DataType::TypeInvalid), "{datatype}");
        }
    }
}
