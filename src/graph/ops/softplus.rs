//! A smooth maximum with zero; appears in losses.

use super::check::{exactly, one};
use super::{Mul, Sigmoid};
use crate::graph::{Error, Fact, Graph, Node, Wire};
use crate::graph::{Gradients, Operator};

/// `y = log(1 + eˣ)`, which does not overflow.
#[derive(Debug)]
pub struct Softplus;

impl Operator for Softplus {
    fn name(&self) -> &'static str {
        "Softplus"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x] = exactly(inputs)?;
        one(x.clone())
    }

    /// `dx = dy · 1 / (1 + e⁻ˣ)`.
    fn backward(&self, g: &mut Graph, node: &Node, grad: Wire, _needed: &[bool]) -> Result<Gradients, Error> {
        let name = &node.name;
        let slope = g.wire(format!("{name}.grad.slope"), Sigmoid, &[node.inputs[0]])?;
        Ok(vec![Some(g.wire(format!("{name}.grad"), Mul, &[grad, slope])?)])
    }
}
