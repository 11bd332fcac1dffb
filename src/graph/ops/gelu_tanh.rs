//! GELU by its hyperbolic-tangent approximation.

use std::f32::consts::{FRAC_2_SQRT_PI, SQRT_2};

use super::check::{exactly, one};
use super::{Add, Mul, Sigmoid, Sub};
use crate::graph::onnx::Attribute;
use crate::graph::{Constant, Gradients, Operator};
use crate::graph::{Error, Fact, Graph, Node, Wire};

/// `y = x · ½ (1 + tanh(√(2/π) (x + 0.044715 x³)))` (Hendrycks and Gimpel 2016), as
/// `torch.nn.GELU(approximate="tanh")`.
#[derive(Debug)]
pub struct GeluTanh;

/// The cubic term's factor.
const CUBIC: f32 = 0.044715;

impl Operator for GeluTanh {
    fn name(&self) -> &'static str {
        "Gelu"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x] = exactly(inputs)?;
        one(x.clone())
    }

    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::string("approximate", "tanh")]
    }

    /// With `½ (1 + tanh(u/2)) = σ(u)`, `u = a x + a c x³`, `a = 2 √(2/π)`:
    /// `dx = dy · (σ + x σ' u')`, where `σ' = σ − σ²` and `x u' = a x + 3 a c x³`.
    fn backward(&self, g: &mut Graph, node: &Node, grad: Wire, _needed: &[bool]) -> Result<Gradients, Error> {
        const A: f32 = FRAC_2_SQRT_PI * SQRT_2;
        let n = |part: &str| format!("{}.grad.{part}", node.name);
        let x = node.inputs[0];
        let slope = g.constant(n("linear.factor"), Constant::scalar(A))?;
        let linear = g.wire(n("linear"), Mul, &[x, slope])?;
        let square = g.wire(n("square"), Mul, &[x, x])?;
        let factor = g.constant(n("cubic.factor"), Constant::scalar(CUBIC))?;
        let square = g.wire(n("square.scaled"), Mul, &[square, factor])?;
        let cubic = g.wire(n("cubic"), Mul, &[linear, square])?;
        let u = g.wire(n("u"), Add, &[linear, cubic])?;
        let gate = g.wire(n("gate"), Sigmoid, &[u])?;
        let gate_square = g.wire(n("gate.square"), Mul, &[gate, gate])?;
        let gate_slope = g.wire(n("gate.slope"), Sub, &[gate, gate_square])?;
        let twice = g.constant(n("twice"), Constant::scalar(2.0))?;
        let rest = g.wire(n("cubic.rest"), Mul, &[cubic, twice])?;
        let change = g.wire(n("change"), Add, &[u, rest])?; // x u'
        let tail = g.wire(n("tail"), Mul, &[gate_slope, change])?;
        let slope = g.wire(n("slope"), Add, &[gate, tail])?;
        Ok(vec![Some(g.wire(format!("{}.grad", node.name), Mul, &[grad, slope])?)])
    }
}
