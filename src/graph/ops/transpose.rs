//! Reordering of axes.

use super::check::{exactly, one};
use crate::graph::onnx::Attribute;
use crate::graph::{Error, Fact, Graph, Node, Wire};
use crate::graph::{Gradients, Operator};

/// Output axis `i` is input axis `order[i]`.
#[derive(Debug)]
pub struct Transpose {
    /// Where each output axis comes from.
    pub order: Vec<usize>,
}

impl Transpose {
    /// The last two of `rank` axes exchanged.
    pub fn last_two(rank: usize) -> Self {
        Self { order: (0..rank - 2).chain([rank - 1, rank - 2]).collect() }
    }
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
            return Err(format!("{:?} is not an order of {} axes", self.order, x.rank()));
        }
        let shape = self.order.iter().map(|&axis| x.shape[axis]).collect();
        one(Fact { dtype: x.dtype, shape, free_rank: false })
    }

    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::ints("perm", &self.order.iter().map(|&axis| axis as i64).collect::<Vec<_>>())]
    }

    fn order(&self) -> Option<&[usize]> {
        Some(&self.order)
    }

    /// The axes go back to where they came from.
    fn backward(&self, g: &mut Graph, node: &Node, grad: Wire, _needed: &[bool]) -> Result<Gradients, Error> {
        let mut order = vec![0; self.order.len()];
        self.order.iter().enumerate().for_each(|(i, &axis)| order[axis] = i);
        Ok(vec![Some(moved(g, format!("{}.grad", node.name), order, grad)?)])
    }
}

/// `x` with its axes in `order`. Where that undoes the transposition that made `x`, what it was made from.
fn moved(g: &mut Graph, name: String, order: Vec<usize>, x: Wire) -> Result<Wire, Error> {
    if let Some(maker) = g.maker(x)
        && let Some(earlier) = maker.operator.order()
        && order.iter().enumerate().all(|(i, &axis)| earlier[axis] == i)
    {
        return Ok(maker.inputs[0]);
    }
    g.wire(name, Transpose { order }, &[x])
}

/// The last two axes exchanged.
pub(super) fn exchanged(g: &mut Graph, name: String, x: Wire) -> Result<Wire, Error> {
    let Transpose { order } = Transpose::last_two(g.fact(x).rank());
    moved(g, name, order, x)
}

/// What `x` was made from by exchanging the last two axes, if it was.
pub(super) fn exchanged_from(g: &Graph, x: Wire) -> Option<Wire> {
    let maker = g.maker(x)?;
    let order = maker.operator.order()?;
    (order == Transpose::last_two(g.fact(x).rank()).order).then_some(maker.inputs[0])
}
