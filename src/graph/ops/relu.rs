//! The rectifier.

use super::check::{exactly, one};
use super::{Mul, Sign};
use crate::graph::{Error, Fact, Graph, Node, Wire};
use crate::graph::{Gradients, Operator};

/// `y = max(x, 0)`, as `torch.nn.ReLU()`.
#[derive(Debug)]
pub struct Relu;

impl Operator for Relu {
    fn name(&self) -> &'static str {
        "Relu"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x] = exactly(inputs)?;
        one(x.clone())
    }

    /// `dx = dy · sign(y)`: 1 where the unit is open, 0 elsewhere and at 0 itself.
    fn backward(&self, g: &mut Graph, node: &Node, grad: Wire, _needed: &[bool]) -> Result<Gradients, Error> {
        let open = g.wire(format!("{}.grad.open", node.name), Sign, &[node.outputs[0]])?;
        Ok(vec![Some(g.wire(format!("{}.grad", node.name), Mul, &[grad, open])?)])
    }
}
