//! Another shape for a tensor that has no batch.

use super::check::{exactly, no_gradient, one};
use crate::graph::{Constant, Gradients, Operator};
use crate::graph::{Error, Fact, Graph, Node, Wire};

/// The same elements, in order, as a tensor of `shape`.
#[derive(Debug)]
pub struct View {
    /// The new shape.
    pub shape: Vec<usize>,
}

impl Operator for View {
    fn name(&self) -> &'static str {
        "Reshape"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x] = exactly(inputs)?;
        let before = fixed(x).ok_or("expected a tensor without open dimensions")?;
        let (before, after): (usize, usize) = (before.iter().product(), self.shape.iter().product());
        if before != after {
            return Err(format!("{before} elements do not make {:?}", self.shape));
        }
        one(Fact::fixed(&self.shape))
    }

    fn constants(&self, _inputs: &[&Fact]) -> Vec<Constant> {
        vec![Constant::I64(self.shape.iter().map(|&n| n as i64).collect())]
    }

    /// The elements go back into the shape they had.
    fn backward(&self, g: &mut Graph, node: &Node, grad: Wire, _needed: &[bool]) -> Result<Gradients, Error> {
        let Some(shape) = fixed(g.fact(node.inputs[0])) else {
            return Err(no_gradient(g, node, "no dimension may be open"));
        };
        Ok(vec![Some(g.wire(format!("{}.grad", node.name), View { shape }, &[grad])?), None])
    }
}

/// The shape, where every dimension is known.
fn fixed(fact: &Fact) -> Option<Vec<usize>> {
    fact.shape.iter().map(|dim| dim.fixed()).collect()
}
