//! Joining along one axis.

use super::{Operator, one};
use crate::graph::onnx::Attribute;
use crate::graph::{Dim, Fact};

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
}
