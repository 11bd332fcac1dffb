//! Another shape for the same elements.

use super::Flatten;
use super::check::{exactly, no_gradient, one};
use crate::graph::{Constant, Gradients, Operator};
use crate::graph::{Dim, Error, Fact, Graph, Node, Wire};

/// Gives `[B, ..]` or `[B·n, ..]` the shape `[B, rest..]`.
#[derive(Debug)]
pub struct Reshape {
    /// The dimensions after the batch.
    pub rest: Vec<usize>,
}

impl Operator for Reshape {
    fn name(&self) -> &'static str {
        "Reshape"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x] = exactly(inputs)?;
        let (first, rest) = match &x.shape[..] {
            [Dim::Batch, rest @ ..] => (1, rest),
            [Dim::Rows(n), rest @ ..] => (*n, rest),
            _ => return Err("expected the batch first".into()),
        };
        let before: Option<usize> = rest.iter().map(|dim| dim.fixed()).product();
        let after: usize = self.rest.iter().product();
        if before.map(|n| n * first) != Some(after) {
            return Err(format!("{after} elements a row do not fit"));
        }
        let rest = self.rest.iter().map(|&n| Dim::Fixed(n));
        one(Fact::f32([Dim::Batch].into_iter().chain(rest).collect::<Vec<_>>()))
    }

    fn constants(&self, _inputs: &[&Fact]) -> Vec<Constant> {
        // -1 is whatever is left: the batch.
        vec![Constant::I64([-1].into_iter().chain(self.rest.iter().map(|&n| n as i64)).collect())]
    }

    /// The elements go back into the shape they had.
    fn backward(&self, g: &mut Graph, node: &Node, grad: Wire, _needed: &[bool]) -> Result<Gradients, Error> {
        let shape = &g.fact(node.inputs[0]).shape;
        if let ([Dim::Rows(_), own], [.., last]) = (&shape[..], &g.fact(grad).shape[..])
            && own == last
        {
            let flat = Flatten { rank: g.fact(grad).rank() };
            return Ok(vec![Some(g.wire(format!("{}.grad", node.name), flat, &[grad])?), None]);
        }
        let rest: Vec<usize> = shape.iter().skip(1).filter_map(|dim| dim.fixed()).collect();
        if shape[0] != Dim::Batch || rest.len() + 1 != shape.len() {
            return Err(no_gradient(g, node, "only the batch may be open"));
        }
        Ok(vec![Some(g.wire(format!("{}.grad", node.name), Reshape { rest }, &[grad])?), None])
    }
}
