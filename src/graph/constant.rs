//! Small constants that a graph holds itself.

use super::{DType, Dim, Fact};

/// A small constant held by the graph.
#[derive(Clone, Debug, PartialEq)]
pub enum Constant {
    /// A vector of integers.
    I64(Vec<i64>),
    /// A tensor of unsigned bytes.
    U8 {
        /// Shape; empty for a scalar.
        shape: Vec<usize>,
        /// Values, row-major.
        data: Vec<u8>,
    },
    /// A tensor of signed bytes.
    I8 {
        /// Shape; empty for a scalar.
        shape: Vec<usize>,
        /// Values, row-major.
        data: Vec<i8>,
    },
    /// A tensor of 16-bit floats.
    F16 {
        /// Shape; empty for a scalar.
        shape: Vec<usize>,
        /// Values, row-major.
        data: Vec<half::f16>,
    },
    /// A tensor of floats.
    F32 {
        /// Shape; empty for a scalar.
        shape: Vec<usize>,
        /// Values, row-major.
        data: Vec<f32>,
    },
}

impl Constant {
    /// A float scalar.
    pub fn scalar(value: f32) -> Self {
        Self::F32 { shape: vec![], data: vec![value] }
    }

    /// An unsigned byte.
    pub fn byte(value: u8) -> Self {
        Self::U8 { shape: vec![], data: vec![value] }
    }

    /// Dtype and shape.
    pub fn fact(&self) -> Fact {
        match self {
            Self::I64(values) => {
                Fact { dtype: DType::I64, shape: vec![Dim::Fixed(values.len())], free_rank: false }
            }
            Self::U8 { shape, .. } => Fact::fixed(shape).of(DType::U8),
            Self::I8 { shape, .. } => Fact::fixed(shape).of(DType::I8),
            Self::F16 { shape, .. } => Fact::fixed(shape).of(DType::F16),
            Self::F32 { shape, .. } => Fact::fixed(shape),
        }
    }
}
