//! Parameters of nodes.

use super::messages::{AttributeProto, data_type};
use crate::graph::DType;

/// A parameter of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute(pub(super) AttributeProto);

impl Attribute {
    /// A float.
    pub fn float(name: &str, value: f32) -> Self {
        Self(AttributeProto { name: name.into(), f: value, r#type: 1, ..Default::default() })
    }

    /// An integer.
    pub fn int(name: &str, value: i64) -> Self {
        Self(AttributeProto { name: name.into(), i: value, r#type: 2, ..Default::default() })
    }

    /// An element type.
    pub fn dtype(name: &str, dtype: DType) -> Self {
        Self::int(name, element_type(dtype).into())
    }

    /// A word.
    pub fn string(name: &str, value: &str) -> Self {
        Self(AttributeProto { name: name.into(), s: value.into(), r#type: 3, ..Default::default() })
    }

    /// Integers.
    pub fn ints(name: &str, values: &[i64]) -> Self {
        Self(AttributeProto { name: name.into(), ints: values.to_vec(), r#type: 7, ..Default::default() })
    }
}

pub(super) fn element_type(dtype: DType) -> i32 {
    match dtype {
        DType::F32 => data_type::FLOAT,
        DType::F16 => data_type::FLOAT16,
        DType::I64 => data_type::INT64,
        DType::I8 => data_type::INT8,
        DType::U8 => data_type::UINT8,
    }
}
