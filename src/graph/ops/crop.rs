//! A run of positions along one axis, and zeros around it: each is the other's gradient.

use super::check::{exactly, one};
use crate::graph::{Constant, Dim, Error, Fact, Gradients, Graph, Node, Operator, Wire};

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

/// `before` and `after` zero positions put around `axis`.
///
/// Makes room for class and register tokens, which are then added with the positions: unlike `Expand`, this
/// needs no run-time shape.
#[derive(Debug)]
pub struct Pad {
    /// The axis.
    pub axis: usize,
    /// Zero positions before.
    pub before: usize,
    /// Zero positions after.
    pub after: usize,
}

impl Operator for Pad {
    fn name(&self) -> &'static str {
        "Pad"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x] = exactly(inputs)?;
        let Some(Dim::Fixed(n)) = x.shape.get(self.axis) else {
            return Err(format!("axis {} must be known", self.axis));
        };
        let mut shape = x.shape.clone();
        shape[self.axis] = Dim::Fixed(self.before + n + self.after);
        one(Fact::f32(shape))
    }

    /// Every axis is named, with zeros, though one would do: ONNX Runtime 1.31, where it moves a transposition
    /// past a padding, takes the padding to be of all axes, and the run fails.
    fn constants(&self, inputs: &[&Fact]) -> Vec<Constant> {
        let rank = inputs.first().map_or(0, |x| x.rank());
        let along = |n: usize| (0..rank).map(move |axis| if axis == self.axis { n as i64 } else { 0 });
        vec![Constant::I64(along(self.before).chain(along(self.after)).collect()), Constant::scalar(0.0)]
    }

    /// What fell on the zeros is dropped.
    fn backward(&self, g: &mut Graph, node: &Node, grad: Wire, needed: &[bool]) -> Result<Gradients, Error> {
        let size = g.fact(node.inputs[0]).shape[self.axis].fixed().unwrap_or_default();
        let own = Slice { axis: self.axis, start: self.before, end: self.before + size };
        let dx = g.wire(format!("{}.grad", node.name), own, &[grad])?;
        Ok([Some(dx)].into_iter().chain(needed[1..].iter().map(|_| None)).collect())
    }
}
