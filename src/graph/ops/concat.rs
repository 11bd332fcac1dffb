//! Joining along one axis.

use super::check::one;
use super::{Leading, Slice, Trailing};
use crate::graph::onnx::Attribute;
use crate::graph::{Dim, Error, Fact, Graph, Node, Wire};
use crate::graph::{Gradients, Operator};

/// Joins its inputs along `axis`; every other dimension agrees. Of two inputs the first may be as long as a module is wide.
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
        for fact in inputs {
            let same_elsewhere = fact.rank() == first.rank()
                && (0..fact.rank()).all(|i| i == self.axis || fact.shape[i] == first.shape[i]);
            if !same_elsewhere {
                return Err(format!("shapes must agree except on axis {}", self.axis));
            }
        }
        let dims: Vec<Dim> = inputs.iter().filter_map(|fact| fact.shape.get(self.axis).copied()).collect();
        let mut shape = first.shape.clone();
        *shape.get_mut(self.axis).ok_or_else(|| format!("there is no axis {}", self.axis))? = joined(&dims)?;
        one(Fact::f32(shape))
    }

    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::int("axis", self.axis as i64)]
    }

    /// Each input gets its own run of positions back.
    fn backward(&self, g: &mut Graph, node: &Node, grad: Wire, needed: &[bool]) -> Result<Gradients, Error> {
        let axis = self.axis;
        if let Dim::Joined(..) = g.fact(grad).shape[axis] {
            let lead = g.wire(format!("{}.grad.0", node.name), Leading { axis }, &[grad])?;
            let trail = g.wire(format!("{}.grad.1", node.name), Trailing { axis }, &[grad])?;
            return Ok(vec![Some(lead), Some(trail)]);
        }
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

/// The axis that parts of these sizes make.
fn joined(dims: &[Dim]) -> Result<Dim, String> {
    if let [Dim::Width(module), Dim::Fixed(known)] = dims {
        return Ok(Dim::Joined(*module, *known));
    }
    let known: Option<usize> = dims.iter().map(|dim| dim.fixed()).sum();
    known.map(Dim::Fixed).ok_or_else(|| "the joined axis must be known".into())
}
