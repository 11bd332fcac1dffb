//! Softmax over the last axis.

use super::check::{exactly, one};
use super::{Mul, ReduceSum, Sub};
use crate::graph::onnx::Attribute;
use crate::graph::{Error, Fact, Graph, Node, Wire};
use crate::graph::{Gradients, Operator};

/// `yᵢ = exp(xᵢ) / Σⱼ exp(xⱼ)` over the last axis.
#[derive(Debug)]
pub struct Softmax;

impl Operator for Softmax {
    fn name(&self) -> &'static str {
        "Softmax"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x] = exactly(inputs)?;
        one(x.clone())
    }

    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::int("axis", -1)]
    }

    /// `dx = y · (dy − Σ dy · y)`.
    fn backward(&self, g: &mut Graph, node: &Node, grad: Wire, _needed: &[bool]) -> Result<Gradients, Error> {
        let (y, name) = (node.outputs[0], &node.name);
        let axes = vec![g.fact(y).rank() - 1];
        let product = g.wire(format!("{name}.grad.product"), Mul, &[grad, y])?;
        let sum = g.wire(format!("{name}.grad.sum"), ReduceSum { axes, keep: true }, &[product])?;
        let centred = g.wire(format!("{name}.grad.centred"), Sub, &[grad, sum])?;
        Ok(vec![Some(g.wire(format!("{name}.grad"), Mul, &[centred, y])?)])
    }
}
