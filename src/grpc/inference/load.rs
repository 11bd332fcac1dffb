//! `RepositoryModelLoad`, `RepositoryModelUnload`.

use std::collections::{BTreeMap, HashMap};

use super::asked::Asked;
use crate::grpc::door::Door;
use crate::grpc::messages::model_repository_parameter::ParameterChoice;
use crate::grpc::messages::{
    ModelRepositoryParameter, RepositoryModelLoadRequest, RepositoryModelLoadResponse,
    RepositoryModelUnloadRequest, RepositoryModelUnloadResponse,
};
use crate::oip::{FILE, Parameter, Parameters, UploadedFile};
use crate::service::Error;
use crate::text::brief;

/// The task: one form of the protocol names it in the first field and knows no second.
pub(super) fn name<'a>(first: &'a str, second: &'a str) -> &'a str {
    if second.is_empty() { first } else { second }
}

pub(super) async fn load(
    door: Door,
    asked: Asked<RepositoryModelLoadRequest>,
) -> Result<RepositoryModelLoadResponse, Error> {
    let Asked { message, caller, .. } = asked;
    let RepositoryModelLoadRequest { repository_name, model_name, parameters } = message;
    let Given { files, rest } = Given::of(parameters)?;
    door.protocol.load(&caller, name(&repository_name, &model_name), (&rest, files)).await?;
    Ok(RepositoryModelLoadResponse {})
}

pub(super) async fn unload(
    door: Door,
    asked: Asked<RepositoryModelUnloadRequest>,
) -> Result<RepositoryModelUnloadResponse, Error> {
    let Asked { message, caller, .. } = asked;
    let RepositoryModelUnloadRequest { repository_name, model_name, parameters } = message;
    // `unload_dependents` comes with every request of some clients; no task has any.
    Given::of(parameters)?;
    door.protocol.unload(&caller, name(&repository_name, &model_name)).await?;
    Ok(RepositoryModelUnloadResponse {})
}

/// The parameters of a load.
struct Given {
    files: Vec<UploadedFile>,
    rest: Parameters,
}

impl Given {
    fn of(parameters: HashMap<String, ModelRepositoryParameter>) -> Result<Self, Error> {
        let (mut files, mut rest) = (Vec::new(), BTreeMap::new());
        for (name, value) in parameters {
            let told = brief(&name);
            let value = value
                .parameter_choice
                .ok_or_else(|| Error::Invalid(format!("parameter {told:?} has no value")))?;
            match (name.strip_prefix(FILE), value) {
                (Some(file), ParameterChoice::BytesParam(content)) => {
                    files.push(UploadedFile { name: file.to_owned(), content });
                }
                (_, ParameterChoice::BytesParam(_)) | (Some(_), _) => {
                    let expected = "files, and only files, are bytes_param named file:VERSION/NAME";
                    return Err(Error::Invalid(format!("parameter {told:?}: {expected}")));
                }
                (None, ParameterChoice::BoolParam(flag)) => {
                    rest.insert(name, Parameter::Bool(flag));
                }
                (None, ParameterChoice::Int64Param(number)) => {
                    rest.insert(name, Parameter::Int(number));
                }
                (None, ParameterChoice::StringParam(text)) => {
                    rest.insert(name, Parameter::Text(text));
                }
            }
        }
        Ok(Self { files, rest: Parameters::new(rest)? })
    }
}
