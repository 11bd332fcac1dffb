//! Reordering of axes.

use super::{Gradients, Operator, exactly, one};
use crate::graph::onnx::Attribute;
use crate::graph::{Error, Fact, Graph, Node, Wire};

/// Output axis `i` is input axis `order[i]`.
#[derive(Debug)]
pub struct Transpose {
    /// Where each output axis comes from.
    pub order: Vec<usize>,
}

impl Operator for Transpose {
    fn name(&self) -> &'static str {
        "Transpose"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x] = exactly(inputs)?;
        let mut sorted = self.order.clone();
        sorted.sort_unstable();
        if sorted != (0..x.rank()).collect::<Vec<_>>() {
            return Err(format!("{:?} is no order of {} axes", self.order, x.rank()));
        }
        one(Fact::f32(self.order.iter().map(|&axis| x.shape[axis]).collect::<Vec<_>>()))
    }

    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::ints("perm", &self.order.iter().map(|&axis| axis as i64).collect::<Vec<_>>())]
    }

    /// The axes go back to where they came from.
    fn backward(&self, g: &mut Graph, node: &Node, grad: Wire, _needed: &[bool]) -> Result<Gradients, Error> {
        let mut order = vec![0; self.order.len()];
        self.order.iter().enumerate().for_each(|(i, &axis)| order[axis] = i);
        Ok(vec![Some(g.wire(format!("{}.grad", node.name), Transpose { order }, &[grad])?)])
    }
}
