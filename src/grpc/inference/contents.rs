//! Input tensors: their values stand behind all tensors in `raw_input_contents`, or in each tensor by type.

use bytes::Bytes;

use crate::grpc::messages::InferTensorContents;
use crate::grpc::messages::model_infer_request::InferInputTensor;
use crate::oip::{Data, Datatype, Tensor, wrong_tensor};
use crate::service::Error;

/// Reads all tensors of a request.
pub(super) fn read(inputs: Vec<InferInputTensor>, raw: Vec<Bytes>) -> Result<Vec<Tensor>, Error> {
    if raw.is_empty() {
        return inputs.into_iter().map(typed).collect();
    }
    if raw.len() != inputs.len() {
        let (raw, inputs) = (raw.len(), inputs.len());
        return Err(Error::Invalid(format!("{inputs} inputs, and {raw} raw_input_contents for them")));
    }
    inputs.into_iter().zip(raw).map(|(input, bytes)| binary(input, bytes)).collect()
}

fn binary(input: InferInputTensor, bytes: Bytes) -> Result<Tensor, Error> {
    if input.contents.is_some() {
        return refuse(&input.name, "its values are in contents and in raw_input_contents");
    }
    let (datatype, shape) = (datatype(&input)?, shape(&input)?);
    Tensor::of_binary(&input.name, datatype, shape, bytes)
}

fn typed(input: InferInputTensor) -> Result<Tensor, Error> {
    let (datatype, shape) = (datatype(&input)?, shape(&input)?);
    let Some(contents) = input.contents else { return refuse(&input.name, "it has no values") };
    let data = data(&input.name, datatype, contents)?;
    Tensor::new(&input.name, datatype, shape, data)
}

fn datatype(input: &InferInputTensor) -> Result<Datatype, Error> {
    input.datatype.parse().or_else(|reason: String| refuse(&input.name, &reason))
}

fn shape(input: &InferInputTensor) -> Result<Vec<u64>, Error> {
    let sides: Result<Vec<u64>, _> = input.shape.iter().map(|&side| u64::try_from(side)).collect();
    sides.or_else(|_| {
        let most = input.shape.len().min(8);
        refuse(&input.name, &format!("shape {:?}: no side is less than 0", &input.shape[..most]))
    })
}

/// Values in the field of their type; any other field must be empty.
fn data(name: &str, datatype: Datatype, contents: InferTensorContents) -> Result<Data, Error> {
    let filled = filled(&contents);
    let field = field(datatype);
    if let Some(other) = filled.iter().find(|other| Some(**other) != field) {
        let expected = field.unwrap_or("raw_input_contents");
        return refuse(name, &format!("values of {datatype} stand in {expected}, and some came in {other}"));
    }
    let fixed = |bytes: Vec<u8>| Ok(Data::Fixed(bytes.into()));
    match datatype {
        Datatype::Bool => fixed(contents.bool_contents.iter().map(|&value| u8::from(value)).collect()),
        Datatype::Int8 => fixed(narrow(name, &contents.int_contents, |value: i8| value.to_le_bytes())?),
        Datatype::Int16 => fixed(narrow(name, &contents.int_contents, |value: i16| value.to_le_bytes())?),
        Datatype::Int32 => fixed(each(&contents.int_contents, |value| value.to_le_bytes())),
        Datatype::Int64 => fixed(each(&contents.int64_contents, |value| value.to_le_bytes())),
        Datatype::Uint8 => fixed(narrow(name, &contents.uint_contents, |value: u8| value.to_le_bytes())?),
        Datatype::Uint16 => fixed(narrow(name, &contents.uint_contents, |value: u16| value.to_le_bytes())?),
        Datatype::Uint32 => fixed(each(&contents.uint_contents, |value| value.to_le_bytes())),
        Datatype::Uint64 => fixed(each(&contents.uint64_contents, |value| value.to_le_bytes())),
        Datatype::Fp32 => fixed(each(&contents.fp32_contents, |value| value.to_le_bytes())),
        Datatype::Fp64 => fixed(each(&contents.fp64_contents, |value| value.to_le_bytes())),
        Datatype::Bytes => Ok(Data::Strings(contents.bytes_contents)),
        Datatype::Fp16 | Datatype::Bf16 => {
            refuse(name, &format!("values of {datatype} come in raw_input_contents alone"))
        }
    }
}

/// The field for values of a datatype, by the protocol.
fn field(datatype: Datatype) -> Option<&'static str> {
    match datatype {
        Datatype::Bool => Some("bool_contents"),
        Datatype::Int8 | Datatype::Int16 | Datatype::Int32 => Some("int_contents"),
        Datatype::Int64 => Some("int64_contents"),
        Datatype::Uint8 | Datatype::Uint16 | Datatype::Uint32 => Some("uint_contents"),
        Datatype::Uint64 => Some("uint64_contents"),
        Datatype::Fp32 => Some("fp32_contents"),
        Datatype::Fp64 => Some("fp64_contents"),
        Datatype::Bytes => Some("bytes_contents"),
        Datatype::Fp16 | Datatype::Bf16 => None,
    }
}

/// Names of the fields that have values.
fn filled(contents: &InferTensorContents) -> Vec<&'static str> {
    let all = [
        ("bool_contents", contents.bool_contents.is_empty()),
        ("int_contents", contents.int_contents.is_empty()),
        ("int64_contents", contents.int64_contents.is_empty()),
        ("uint_contents", contents.uint_contents.is_empty()),
        ("uint64_contents", contents.uint64_contents.is_empty()),
        ("fp32_contents", contents.fp32_contents.is_empty()),
        ("fp64_contents", contents.fp64_contents.is_empty()),
        ("bytes_contents", contents.bytes_contents.is_empty()),
    ];
    all.into_iter().filter(|(_, is_empty)| !is_empty).map(|(name, _)| name).collect()
}

fn each<T: Copy, const N: usize>(values: &[T], bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
    values.iter().flat_map(|&value| bytes(value)).collect()
}

/// Values that came wider than they are.
fn narrow<W: Copy + std::fmt::Display, T: TryFrom<W>, const N: usize>(
    name: &str,
    values: &[W],
    bytes: impl Fn(T) -> [u8; N],
) -> Result<Vec<u8>, Error> {
    let mut all = Vec::with_capacity(values.len() * N);
    for (at, &value) in values.iter().enumerate() {
        match T::try_from(value) {
            Ok(value) => all.extend(bytes(value)),
            Err(_) => return refuse(name, &format!("element {at} is {value}: it does not fit its datatype")),
        }
    }
    Ok(all)
}

fn refuse<T>(name: &str, reason: &str) -> Result<T, Error> {
    Err(wrong_tensor(name, reason))
}
