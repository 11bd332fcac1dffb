//! Bodies of inferences: JSON, JSON with tensors in binary behind it, or an image alone.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;

use super::elements::Elements;
use crate::files;
use crate::http::body::unexpected;
use crate::http::error::ApiError;
use crate::oip::{
    Data, Datatype, InferRequest, Parameter, Parameters, RequestedOutput, Tensor, wrong_tensor,
};
use crate::service::{Error, Held};

/// The header that says how long the JSON is before tensors in binary.
pub(super) const JSON_LENGTH: &str = "inference-header-content-length";
/// Memory that an item of a list may take beside its text, bytes.
const ITEM_BYTES: usize = 64;
/// The one tensor of a body without JSON.
const RAW: &str = "image";

/// A request with what only this door reads of it.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) request: InferRequest,
    /// Whether outputs are binary that do not say.
    pub(super) is_binary: bool,
}

/// A body's JSON. Other fields are a client's own.
#[derive(Deserialize)]
struct Json {
    id: Option<String>,
    parameters: Option<BTreeMap<String, Value>>,
    inputs: Vec<Input>,
    outputs: Option<Vec<Output>>,
}

#[derive(Deserialize)]
struct Input {
    name: String,
    datatype: String,
    shape: Vec<u64>,
    parameters: Option<BTreeMap<String, Value>>,
    data: Option<Elements>,
}

#[derive(Deserialize)]
struct Output {
    name: String,
    parameters: Option<BTreeMap<String, Value>>,
}

/// A parameter's value in JSON.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a parameter is a string, a number, true or false")]
pub(super) enum Value {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
}

impl From<Value> for Parameter {
    fn from(value: Value) -> Self {
        match value {
            Value::Bool(flag) => Self::Bool(flag),
            Value::Int(number) => Self::Int(number),
            Value::Float(number) => Self::Float(number),
            Value::Text(text) => Self::Text(text),
        }
    }
}

/// Parameters of any place.
pub(super) fn parameters(given: Option<BTreeMap<String, Value>>) -> Result<Parameters, Error> {
    let given = given.unwrap_or_default();
    Parameters::new(given.into_iter().map(|(name, value)| (name, value.into())).collect())
}

/// Reads a body. `length` is that of its JSON where tensors follow; 0 means that all of it is an image.
///
/// # Errors
/// [`Error::Invalid`] with what is wrong.
pub(super) fn read(body: &Bytes, length: Option<usize>, held: &mut Held) -> Result<Read, ApiError> {
    if length == Some(0) {
        let image = Tensor::of_strings(RAW, vec![1], vec![body.clone()])?;
        let request = InferRequest { inputs: vec![image], ..InferRequest::default() };
        return Ok(Read { request, is_binary: true });
    }
    let length = length.unwrap_or(body.len());
    if length > body.len() {
        let whole = body.len();
        return Err(ApiError::invalid(format!("{JSON_LENGTH} = {length}: the body has {whole} bytes")));
    }
    let (json, mut rest) = (body.slice(..length), body.slice(length..));
    // Prepared samples are held once more as numbers.
    held.take(rest.len())?;
    let json: Json = from_json(&json, held)?;
    let parameters = parameters(json.parameters)?;
    let is_binary = parameters.flag("binary_data_output")?.unwrap_or(false);
    let inputs = json.inputs.into_iter().map(|input| tensor(input, &mut rest)).collect::<Result<_, _>>()?;
    if !rest.is_empty() {
        let left = rest.len();
        return Err(ApiError::invalid(format!("{left} bytes behind the JSON belong to no input")));
    }
    let outputs = json.outputs.unwrap_or_default().into_iter().map(requested).collect::<Result<_, _>>()?;
    Ok(Read { request: InferRequest { id: json.id, parameters, inputs, outputs }, is_binary })
}

/// Reads JSON, for which memory is held before.
pub(super) fn from_json<T: serde::de::DeserializeOwned>(json: &[u8], held: &mut Held) -> Result<T, ApiError> {
    let items = json.iter().filter(|byte| **byte == b',').count();
    held.take(json.len().saturating_mul(2).saturating_add(items.saturating_mul(ITEM_BYTES)))?;
    serde_json::from_slice(files::without_mark(json)).map_err(|error| unexpected(&error))
}

fn requested(Output { name, parameters: given }: Output) -> Result<RequestedOutput, Error> {
    Ok(RequestedOutput { name, parameters: parameters(given)? })
}

fn tensor(input: Input, rest: &mut Bytes) -> Result<Tensor, ApiError> {
    let Input { name, datatype, shape, parameters: given, data } = input;
    let refuse = |reason: String| ApiError::from(wrong_tensor(&name, reason));
    let datatype: Datatype = datatype.parse().map_err(refuse)?;
    let size = parameters(given)?.number("binary_data_size")?;
    match (data, size) {
        (Some(data), None) => {
            let data: Data = data.into_data(datatype).map_err(refuse)?;
            Ok(Tensor::new(&name, datatype, shape, data)?)
        }
        (None, Some(size)) => {
            let left = rest.len();
            let size = usize::try_from(size).ok().filter(|size| *size <= left);
            let Some(size) = size else {
                return Err(refuse(format!("binary_data_size is more than the {left} bytes that are left")));
            };
            Ok(Tensor::of_binary(&name, datatype, shape, rest.split_to(size))?)
        }
        (None, None) => Err(refuse("it has neither \"data\" nor \"binary_data_size\"".into())),
        (Some(_), Some(_)) => Err(refuse("it has both \"data\" and \"binary_data_size\"".into())),
    }
}
