//! Operators, one a file: what ONNX calls them, what they accept, what they cost.

use std::fmt::Debug;

use super::onnx::Attribute;
use super::{DType, Dim, Error, Fact, Graph, Node, Wire};

mod binary;
mod cast;
mod concat;
mod conv;
mod conv_transpose;
mod erf;
mod exp;
mod flatten;
mod gelu;
mod gelu_tanh;
mod gemm;
mod hard_sigmoid;
mod integer_product;
mod layer_norm;
mod log_softmax;
mod matmul;
mod max;
mod neg;
mod pad;
mod quantize_linear;
mod reciprocal;
mod reduce_extreme;
mod reduce_mean;
mod reduce_sum;
mod reorder;
mod reshape;
mod sigmoid;
mod slice;
mod softmax;
mod transpose;

pub use binary::{Add, Mul, Sub};
pub use cast::Cast;
pub use concat::Concat;
pub use conv::Conv;
pub use conv_transpose::ConvTranspose;
pub use erf::Erf;
pub use exp::Exp;
pub use flatten::Flatten;
pub use gelu::Gelu;
pub use gelu_tanh::GeluTanh;
pub use gemm::Gemm;
pub use hard_sigmoid::HardSigmoid;
pub use integer_product::IntegerProduct;
pub use layer_norm::LayerNorm;
pub use log_softmax::LogSoftmax;
pub use matmul::MatMul;
pub use max::Max;
pub use neg::Neg;
pub use pad::Pad;
pub use quantize_linear::QuantizeLinear;
pub use reciprocal::Reciprocal;
pub use reduce_extreme::{Extreme, ReduceExtreme};
pub use reduce_mean::ReduceMean;
pub use reduce_sum::ReduceSum;
pub use reorder::Reorder;
pub use reshape::Reshape;
pub use sigmoid::Sigmoid;
pub use slice::Slice;
pub use softmax::Softmax;
pub use transpose::Transpose;

/// One operation of a graph.
pub trait Operator: Debug + Send + Sync {
    /// The operator's name in ONNX.
    fn name(&self) -> &'static str;

    /// The operator's domain in ONNX; empty for the standard one.
    fn domain(&self) -> &'static str {
        ""
    }

    /// Facts of the outputs, or the reason why the inputs do not fit.
    ///
    /// # Errors
    /// A phrase saying what was expected; the builder adds names and operands.
    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String>;

    /// ONNX attributes.
    fn attributes(&self) -> Vec<Attribute> {
        Vec::new()
    }

    /// Where each axis of the output comes from, for an operator that only moves axes.
    fn order(&self) -> Option<&[usize]> {
        None
    }

    /// Constant inputs that follow the wired ones (shapes, axes, bounds), given the wired ones' facts.
    fn constants(&self, _inputs: &[&Fact]) -> Vec<Constant> {
        Vec::new()
    }

    /// Wires the gradients of the inputs, given the gradient `grad` of the output: one entry for each of the
    /// node's inputs, `Some` at least where `needed`. New nodes are named after `node`.
    ///
    /// # Errors
    /// [`Error::NoGradient`] where none is defined: for inputs that are always frozen weights, and for
    /// operators that appear only before the first adapter or inside gradients.
    fn backward(
        &self,
        g: &mut Graph,
        node: &Node,
        _grad: Wire,
        _needed: &[bool],
    ) -> Result<Gradients, Error> {
        Err(no_gradient(g, node, "it has no gradient"))
    }

    /// The dimensions whose product is the number of multiply-adds, where the operator has any.
    fn multiply_adds(&self, _inputs: &[&Fact], _output: &Fact) -> Option<Vec<Dim>> {
        None
    }
}

/// Gradients of a node's inputs.
pub type Gradients = Vec<Option<Wire>>;

fn no_gradient(g: &Graph, node: &Node, reason: &'static str) -> Error {
    let (graph, operator) = (g.name().into(), node.operator.name());
    Error::NoGradient { graph, node: node.name.clone(), operator, reason }
}

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

/// What is left of `x` when `axes` are reduced away or, if `keep`, to 1.
fn reduced(x: &Fact, axes: &[usize], keep: bool) -> Result<Fact, String> {
    if let Some(axis) = axes.iter().find(|&&axis| axis >= x.rank()) {
        return Err(format!("there is no axis {axis}"));
    }
    let left = x.shape.iter().enumerate().filter_map(|(i, &dim)| match axes.contains(&i) {
        true => keep.then_some(Dim::Fixed(1)),
        false => Some(dim),
    });
    Ok(Fact::f32(left.collect::<Vec<_>>()))
}
