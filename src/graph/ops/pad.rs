//! Zeros before and after, along one axis.

use super::{Constant, Gradients, Operator, Slice, exactly, one};
use crate::graph::{Dim, Error, Fact, Graph, Node, Wire};

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
