//! Joining along one axis.

use super::Slice;
use super::check::one;
use crate::graph::onnx::Attribute;
use crate::graph::{Dim, Error, Fact, Graph, Node, Wire};
use crate::graph::{Gradients, Operator};

/// Joins its inputs along `axis`; every other dimension agrees.
#[derive(Debug)]
pub struct Concat {
    /// The axis.
    pub axis: usize,
}

impl Operator for Concat {
    fn name(&self) -> &'static str {
        "Concat"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let first = inputs.first().ok_or("expected an input")?;
        let mut joined = 0;
        for fact in inputs {
            let same_elsewhere = fact.rank() == first.rank()
                && (0..fact.rank()).all(|i| i == self.axis || fact.shape[i] == first.shape[i]);
            if !same_elsewhere {
                return Err(format!("shapes must agree except on axis {}", self.axis));
            }
            let size = fact.shape.get(self.axis).and_then(|dim| dim.fixed());
            joined += size.ok_or("the joined axis must be known")?;
        }
        let mut shape = first.shape.clone();
        shape[self.axis] = Dim::Fixed(joined);
        one(Fact::f32(shape))
    }

    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::int("axis", self.axis as i64)]
    }

    /// Each input gets its own run of positions back.
    fn backward(&self, g: &mut Graph, node: &Node, grad: Wire, needed: &[bool]) -> Result<Gradients, Error> {
        let mut start = 0;
        let mut gradients = Vec::new();
        for (i, (&input, &need)) in node.inputs.iter().zip(needed).enumerate() {
            let size = g.fact(input).shape[self.axis].fixed().unwrap_or_default();
            let own = Slice { axis: self.axis, start, end: start + size };
            start += size;
            let name = format!("{}.grad.{i}", node.name);
            gradients.push(need.then(|| g.wire(name, own, &[grad])).transpose()?);
        }
        Ok(gradients)
    }
}
