//! Reordering of axes.

use super::{Operator, exactly, one};
use crate::graph::Fact;
use crate::graph::onnx::Attribute;

/// Output axis `i` is input axis `order[i]`.
#[derive(Debug)]
pub struct Transpose {
    /// Where each output axis comes from.
    pub order: Vec<usize>,
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
            return Err(format!("{:?} is no order of {} axes", self.order, x.rank()));
        }
        one(Fact::f32(self.order.iter().map(|&axis| x.shape[axis]).collect::<Vec<_>>()))
    }

    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::ints("perm", &self.order.iter().map(|&axis| axis as i64).collect::<Vec<_>>())]
    }
}
