//! Mean over one axis.

use super::check::{exactly, no_gradient, one, reduced};
use super::{Mul, Reshape};
use crate::graph::onnx::Attribute;
use crate::graph::{Constant, Gradients, Operator};
use crate::graph::{Error, Fact, Graph, Node, Wire};

/// Mean over `axis`, which disappears or, if `keep`, becomes 1.
#[derive(Debug)]
pub struct ReduceMean {
    /// The axis.
    pub axis: usize,
    /// Whether it stays, with size 1.
    pub keep: bool,
}

impl Operator for ReduceMean {
    fn name(&self) -> &'static str {
        "ReduceMean"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x] = exactly(inputs)?;
        one(reduced(x, &[self.axis], self.keep)?)
    }

    fn constants(&self, _inputs: &[&Fact]) -> Vec<Constant> {
        vec![Constant::I64(vec![self.axis as i64])]
    }

    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::int("keepdims", i64::from(self.keep))]
    }

    /// `dx = dy / n` at each of the `n` positions.
    fn backward(&self, g: &mut Graph, node: &Node, grad: Wire, _needed: &[bool]) -> Result<Gradients, Error> {
        let name = &node.name;
        let shape = g.fact(node.inputs[0]).shape.clone();
        let count = shape[self.axis].fixed().ok_or_else(|| no_gradient(g, node, "the axis is open"))?;
        let mut rest: Vec<usize> = shape.iter().skip(1).filter_map(|dim| dim.fixed()).collect();
        if self.axis == 0 || rest.len() + 1 != shape.len() {
            return Err(no_gradient(g, node, "only the batch may be open, and may not be reduced"));
        }
        rest[self.axis - 1] = 1;
        let placed = g.wire(format!("{name}.grad.placed"), Reshape { rest }, &[grad])?;
        // Broadcasting against a constant spreads the gradient without a run-time shape.
        let mut spread = vec![1; shape.len()];
        spread[self.axis] = count;
        let share = Constant::F32 { shape: spread, data: vec![1.0 / count as f32; count] };
        let share = g.constant(format!("{name}.grad.share"), share)?;
        Ok(vec![Some(g.wire(format!("{name}.grad"), Mul, &[placed, share])?), None])
    }
}
