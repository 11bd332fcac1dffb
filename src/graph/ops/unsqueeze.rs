//! An axis of one position.

use super::check::{exactly, one};
use crate::graph::{Constant, Dim, Fact, Operator};

/// Puts an axis of 1 before `axis`.
#[derive(Debug)]
pub struct Unsqueeze {
    /// Where the new axis stands.
    pub axis: usize,
}

impl Operator for Unsqueeze {
    fn name(&self) -> &'static str {
        "Unsqueeze"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x] = exactly(inputs)?;
        if self.axis > x.rank() {
            return Err(format!("there is no axis {} to put one before", self.axis));
        }
        let mut shape = x.shape.clone();
        shape.insert(self.axis, Dim::Fixed(1));
        one(Fact::f32(shape))
    }

    fn constants(&self, _inputs: &[&Fact]) -> Vec<Constant> {
        vec![Constant::I64(vec![self.axis as i64])]
    }
}
