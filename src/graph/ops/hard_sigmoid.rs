//! A clamped line; appears in gradients.

use super::check::{exactly, one};
use crate::graph::Fact;
use crate::graph::Operator;
use crate::graph::onnx::Attribute;

/// `y = max(0, min(1, slope · x + offset))`.
#[derive(Debug)]
pub struct HardSigmoid {
    /// The slope.
    pub slope: f32,
    /// The value at 0.
    pub offset: f32,
}

impl Operator for HardSigmoid {
    fn name(&self) -> &'static str {
        "HardSigmoid"
    }

    fn facts(&self, inputs: &[&Fact]) -> Result<Vec<Fact>, String> {
        let [x] = exactly(inputs)?;
        one(x.clone())
    }

    fn attributes(&self) -> Vec<Attribute> {
        vec![Attribute::float("alpha", self.slope), Attribute::float("beta", self.offset)]
    }
}
