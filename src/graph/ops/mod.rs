//! Operators, one a file: what ONNX calls them, what they accept, what they cost.

use std::fmt::Debug;

use super::onnx::Attribute;
use super::{DType, Dim, Fact};

mod binary;
mod concat;
mod conv;
mod gelu;
mod layer_norm;
mod matmul;
mod pad;
mod reduce_mean;
mod reshape;
mod sigmoid;
mod slice;
mod softmax;
mod transpose;

pub use binary::{Add, Mul};
pub use concat::Concat;
pub use conv::PatchConv;
pub use gelu::Gelu;
pub use layer_norm::LayerNorm;
pub use matmul::MatMul;
pub use pad::PadFront;
pub use reduce_mean::ReduceMean;
pub use reshape::Reshape;
pub use sigmoid::Sigmoid;
pub use slice::Slice;
pub use softmax::Softmax;
pub use transpose::Transpose;

/// One operation of a graph.
pub trait Operator: Debug + Send + Sync {
    /// The operator's name in ONNX.
    fn name(&self) -> &'static str;

    /// Facts of the outputs, or the reason why the inputs do not fit.
    ///
    /// # Errors
    /// A phrase saying what was expected; the builder adds names and operands.
    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String>;

    /// ONNX attributes.
    fn attributes(&self) -> Vec<Attribute> {
        Vec::new()
    }

    /// Constant inputs that follow the wired ones (shapes, axes, bounds).
    fn constants(&self) -> Vec<Constant> {
        Vec::new()
    }

    /// The dimensions whose product is the number of multiply-adds, where the operator has any.
    fn multiply_adds(&self, _inputs: &[&Fact], _output: &Fact) -> Option<Vec<Dim>> {
        None
    }
}

/// A small constant held by the graph.
#[derive(Clone, Debug, PartialEq)]
pub enum Constant {
    /// A vector of integers.
    I64(Vec<i64>),
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

    /// Dtype and shape.
    pub fn fact(&self) -> Fact {
        match self {
            Self::I64(values) => {
                Fact { dtype: DType::I64, shape: vec![Dim::Fixed(values.len())], free_rank: false }
            }
            Self::F32 { shape, .. } => Fact::fixed(shape),
        }
    }
}

/// Takes exactly `N` inputs apart.
fn exactly<'a, const N: usize>(inputs: &[&'a Fact]) -> Result<[&'a Fact; N], String> {
    inputs.try_into().map_err(|_| format!("expected {N} input(s)"))
}

/// One output.
fn one(fact: Fact) -> Result<Vec<Fact>, String> {
    Ok(vec![fact])
}
