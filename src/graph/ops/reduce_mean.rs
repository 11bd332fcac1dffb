//! Mean over one axis.

use super::{Constant, Operator, exactly, one};
use crate::graph::Fact;
use crate::graph::onnx::Attribute;

/// Mean over `axis`, which disappears.
#[derive(Debug)]
pub struct ReduceMean {
    /// The axis.
    pub axis: usize,
}

impl Operator for ReduceMean {
    fn name(&self) -> &'static str {
        "ReduceMean"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x] = exactly(inputs)?;
        if self.axis >= x.rank() {
            return Err(format!("there is no axis {}", self.axis));
        }
        let mut shape = x.shape.clone();
        shape.remove(self.axis);
        one(Fact::f32(shape))
    }

    fn constants(&self) -> Vec<Constant> {
        vec![Constant::I64(vec![self.axis as i64])]
    }

    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::int("keepdims", 0)]
    }
}
