//! Answers of inferences: JSON, with tensors in binary behind it where they are wanted so.

use std::collections::BTreeMap;

use axum::Json;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use serde::Serialize;
use serde::ser::{SerializeSeq, Serializer};
use utoipa::ToSchema;

use super::request::JSON_LENGTH;
use crate::http::error::ApiError;
use crate::oip::{Data, InferResponse, Parameter, Parameters, Tensor};
use crate::service::Error;

/// The answer to an inference.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Answer<'a> {
    /// The task.
    model_name: &'a str,
    /// The version that answered.
    model_version: &'a str,
    /// The request's.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    /// What made the answer: `version`, `pack_digest`, `backbone`, `precision`, `build`.
    #[schema(value_type = Object)]
    parameters: BTreeMap<&'a str, Value<'a>>,
    /// The outputs in the order asked for.
    #[schema(value_type = Vec<Object>)]
    outputs: Vec<Output<'a>>,
}

#[derive(Debug, Serialize)]
struct Output<'a> {
    name: &'a str,
    datatype: &'static str,
    shape: &'a [u64],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    parameters: BTreeMap<&'static str, usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Values<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Value<'a> {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(&'a str),
}

/// A tensor's values in JSON, flat: outputs are 32-bit floats and texts.
#[derive(Debug)]
struct Values<'a>(&'a Tensor);

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        match self.0.data() {
            Data::Fixed(_) => {
                for value in self.0.floats().unwrap_or_default() {
                    list.serialize_element(&value)?;
                }
            }
            Data::Strings(strings) => {
                for string in strings {
                    list.serialize_element(&String::from_utf8_lossy(string))?;
                }
            }
        }
        list.end()
    }
}

fn values(parameters: &Parameters) -> BTreeMap<&str, Value<'_>> {
    let value = |value| match value {
        &Parameter::Bool(flag) => Value::Bool(flag),
        &Parameter::Int(number) => Value::Int(number),
        &Parameter::Float(number) => Value::Float(number),
        Parameter::Text(text) => Value::Text(text),
    };
    parameters.iter().map(|(name, given)| (name, value(given))).collect()
}

/// Writes an answer; `binary` says for each output whether it stands in binary behind the JSON.
///
/// # Errors
/// [`Error::Internal`] when it cannot be written.
pub(super) fn write(response: &InferResponse, binary: &[bool]) -> Result<Response, ApiError> {
    let is_binary = |at: usize| binary.get(at).copied().unwrap_or(false);
    let mut tails: Vec<Bytes> = Vec::new();
    let mut outputs = Vec::with_capacity(response.outputs.len());
    for (at, tensor) in response.outputs.iter().enumerate() {
        let (mut parameters, mut data) = (BTreeMap::new(), Some(Values(tensor)));
        if is_binary(at) {
            let tail = tensor.to_binary();
            (data, _) = (None, parameters.insert("binary_data_size", tail.len()));
            tails.push(tail);
        }
        let (name, datatype) = (tensor.name(), tensor.datatype().as_str());
        outputs.push(Output { name, datatype, shape: tensor.shape(), parameters, data });
    }
    let InferResponse { model_name, model_version, id, parameters, .. } = response;
    let answer =
        Answer { model_name, model_version, id: id.as_deref(), parameters: values(parameters), outputs };
    if tails.is_empty() {
        return Ok(Json(answer).into_response());
    }
    let json = serde_json::to_vec(&answer).map_err(|e| ApiError::from(Error::Internal(e.to_string())))?;
    let mut body = BytesMut::from(&json[..]);
    tails.iter().for_each(|tail| body.extend_from_slice(tail));
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (HeaderName::from_static(JSON_LENGTH), HeaderValue::from(json.len())),
    ];
    Ok((headers, body.freeze()).into_response())
}
