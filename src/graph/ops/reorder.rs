//! The positions of one axis in another order.

use super::check::{exactly, one};
use crate::graph::onnx::Attribute;
use crate::graph::{Constant, Gradients, Operator};
use crate::graph::{Dim, Error, Fact, Graph, Node, Wire};

/// Position `i` of `axis` is what was at position `order[i]`; no position is lost or repeated.
///
/// Rolling a map, partitioning it into windows, and collecting neighbours for merging are each one such order.
#[derive(Debug)]
pub struct Reorder {
    /// The axis.
    pub axis: usize,
    /// Where each position comes from.
    pub order: Vec<usize>,
}

impl Reorder {
    /// Where each position went: the order that takes this one back.
    fn inverse(&self) -> Vec<usize> {
        let mut inverse = vec![0; self.order.len()];
        self.order.iter().enumerate().for_each(|(to, &from)| inverse[from] = to);
        inverse
    }
}

impl Operator for Reorder {
    fn name(&self) -> &'static str {
        "Gather"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x] = exactly(inputs)?;
        let size = self.order.len();
        if x.shape.get(self.axis) != Some(&Dim::Fixed(size)) {
            return Err(format!("axis {} must have the {size} positions of the order", self.axis));
        }
        let mut met = vec![false; size];
        let new = |&from: &usize| met.get_mut(from).is_some_and(|met| !std::mem::replace(met, true));
        if !self.order.iter().all(new) {
            return Err("the order must name every position once".into());
        }
        one(x.clone())
    }

    fn constants(&self, _inputs: &[&Fact]) -> Vec<Constant> {
        vec![Constant::I64(self.order.iter().map(|&from| from as i64).collect())]
    }

    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::int("axis", self.axis as i64)]
    }

    /// What went away comes back.
    fn backward(&self, g: &mut Graph, node: &Node, grad: Wire, _needed: &[bool]) -> Result<Gradients, Error> {
        let back = Self { axis: self.axis, order: self.inverse() };
        Ok(vec![Some(g.wire(format!("{}.grad", node.name), back, &[grad])?), None])
    }
}
