//! Parameters between messages and the protocol's own.

use std::collections::HashMap;

use crate::grpc::messages::InferParameter;
use crate::grpc::messages::infer_parameter::ParameterChoice;
use crate::oip::{Parameter, Parameters};
use crate::service::Error;
use crate::text::brief;

pub(super) fn read(given: HashMap<String, InferParameter>) -> Result<Parameters, Error> {
    let values = given.into_iter().map(|(name, value)| {
        let value = one(&name, value)?;
        Ok((name, value))
    });
    Parameters::new(values.collect::<Result<_, Error>>()?)
}

fn one(name: &str, value: InferParameter) -> Result<Parameter, Error> {
    let told = || brief(name);
    match value.parameter_choice {
        Some(ParameterChoice::BoolParam(flag)) => Ok(Parameter::Bool(flag)),
        Some(ParameterChoice::Int64Param(number)) => Ok(Parameter::Int(number)),
        Some(ParameterChoice::StringParam(text)) => Ok(Parameter::Text(text)),
        Some(ParameterChoice::DoubleParam(number)) => Ok(Parameter::Float(number)),
        Some(ParameterChoice::Uint64Param(number)) => {
            i64::try_from(number).map(Parameter::Int).map_err(|_| {
                Error::Invalid(format!("parameter {:?} = {number}: expected at most {}", told(), i64::MAX))
            })
        }
        None => Err(Error::Invalid(format!("parameter {:?} has no value", told()))),
    }
}

pub(super) fn write(given: &Parameters) -> HashMap<String, InferParameter> {
    let one = |value: &Parameter| match value {
        Parameter::Bool(flag) => ParameterChoice::BoolParam(*flag),
        Parameter::Int(number) => ParameterChoice::Int64Param(*number),
        Parameter::Float(number) => ParameterChoice::DoubleParam(*number),
        Parameter::Text(text) => ParameterChoice::StringParam(text.clone()),
    };
    let named = |(name, value): (&str, &Parameter)| {
        (name.to_owned(), InferParameter { parameter_choice: Some(one(value)) })
    };
    given.iter().map(named).collect()
}
