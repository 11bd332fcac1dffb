//! The logistic function.

use super::check::{exactly, one};
use super::{Mul, Sub};
use crate::graph::{Error, Fact, Graph, Node, Wire};
use crate::graph::{Gradients, Operator};

/// `y = 1 / (1 + exp(−x))`.
#[derive(Debug)]
pub struct Sigmoid;

impl Operator for Sigmoid {
    fn name(&self) -> &'static str {
        "Sigmoid"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x] = exactly(inputs)?;
        one(x.clone())
    }

    /// `dx = dy · (y − y²)`.
    fn backward(&self, g: &mut Graph, node: &Node, grad: Wire, _needed: &[bool]) -> Result<Gradients, Error> {
        let (y, name) = (node.outputs[0], &node.name);
        let square = g.wire(format!("{name}.grad.square"), Mul, &[y, y])?;
        let slope = g.wire(format!("{name}.grad.slope"), Sub, &[y, square])?;
        Ok(vec![Some(g.wire(format!("{name}.grad"), Mul, &[grad, slope])?)])
    }
}
