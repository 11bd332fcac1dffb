//! A run of positions along one axis.

use super::{Constant, Gradients, Operator, Pad, exactly, one};
use crate::graph::{Dim, Error, Fact, Graph, Node, Wire};

/// Positions `start..end` of `axis`.
#[derive(Debug)]
pub struct Slice {
    /// The axis.
    pub axis: usize,
    /// First position.
    pub start: usize,
    /// First position after the run.
    pub end: usize,
}

impl Operator for Slice {
    fn name(&self) -> &'static str {
        "Slice"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x] = exactly(inputs)?;
        let size = x.shape.get(self.axis).and_then(|dim| dim.fixed());
        let size = size.ok_or_else(|| format!("axis {} must be known", self.axis))?;
        if self.start >= self.end || self.end > size {
            return Err(format!("{}..{} does not lie in 0..{size}", self.start, self.end));
        }
        let mut shape = x.shape.clone();
        shape[self.axis] = Dim::Fixed(self.end - self.start);
        one(Fact::f32(shape))
    }

    fn constants(&self, _inputs: &[&Fact]) -> Vec<Constant> {
        [self.start, self.end, self.axis].map(|n| Constant::I64(vec![n as i64])).into()
    }

    /// Positions that were left out get zeros.
    fn backward(&self, g: &mut Graph, node: &Node, grad: Wire, needed: &[bool]) -> Result<Gradients, Error> {
        let size = g.fact(node.inputs[0]).shape[self.axis].fixed().unwrap_or(self.end);
        let pad = Pad { axis: self.axis, before: self.start, after: size - self.end };
        let dx = g.wire(format!("{}.grad", node.name), pad, &[grad])?;
        Ok([Some(dx)].into_iter().chain(needed[1..].iter().map(|_| None)).collect())
    }
}
