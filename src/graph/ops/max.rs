//! The largest of several tensors, element by element.

use super::check::{exactly, one};
use crate::graph::Fact;
use crate::graph::Operator;

/// `y = max(a, b)`, with NumPy broadcasting of a scalar `b`.
#[derive(Debug)]
pub struct Max;

impl Operator for Max {
    fn name(&self) -> &'static str {
        "Max"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [a, b] = exactly(inputs)?;
        if a.shape != b.shape && b.rank() != 0 {
            return Err("expected two tensors of one shape, or a tensor and a scalar".into());
        }
        one(a.clone())
    }
}
